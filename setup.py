"""Install devpatch.pth next to the package, and make sdists reproducible. All metadata is in setup.cfg."""

import gzip
import io
import os
import tarfile

from setuptools import setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

START_UP_FILE = "devpatch.pth"


class build_py_with_start_up_file(build_py):
    """Copy the start-up file to the root of the wheel, which is site-packages.

    data_files and package_data do not reach site-packages in every kind of installation: wheel, editable
    installation, uv.
    """

    def run(self):
        super().run()
        root = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.mkpath(root)
        self.copy_file(START_UP_FILE, os.path.join(root, START_UP_FILE), preserve_mode=False)

    def get_source_files(self):
        # This adds the file to the sdist.
        return [*super().get_source_files(), START_UP_FILE]


class reproducible_sdist(sdist):
    """Make the archive anew if SOURCE_DATE_EPOCH is set: with that time, in a fixed order, and without an owner."""

    def make_archive(self, *arguments, **options):
        name = super().make_archive(*arguments, **options)
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch and name.endswith(".tar.gz"):
            with tarfile.open(name) as old:
                members = sorted(old.getmembers(), key=lambda member: member.name)
                contents = {member: old.extractfile(member).read() for member in members if member.isfile()}
                parts = [(member, contents.get(member)) for member in members]
            self._write(name, parts, int(epoch))
        return name

    @staticmethod
    def _write(name, parts, epoch):
        # gzip would write its file name and the current time into the archive.
        with (
            open(name, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=epoch) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new,
        ):
            for old, content in parts:
                member = tarfile.TarInfo(old.name)
                member.type, member.size, member.mtime = old.type, len(content or b""), epoch
                member.mode = 0o755 if old.isdir() or old.mode & 0o100 else 0o644
                new.addfile(member, io.BytesIO(content) if content is not None else None)


setup(cmdclass={"build_py": build_py_with_start_up_file, "sdist": reproducible_sdist})

"""Puts devpatch.pth beside the package; all the metadata is in setup.cfg."""

import os

from setuptools import setup
from setuptools.command.build_py import build_py

START_UP_FILE = "devpatch.pth"


class build_py_with_start_up_file(build_py):
    """Copy the start-up file to the root of the wheel, which is site-packages.

    Neither data_files nor package_data reaches site-packages in every form of install:
    a wheel, an editable install and uv's forms each miss one of them.
    """

    def run(self):
        super().run()
        root = self.get_finalized_command("install").install_lib if self.editable_mode else self.build_lib
        self.mkpath(root)
        self.copy_file(START_UP_FILE, os.path.join(root, START_UP_FILE), preserve_mode=False)

    def get_source_files(self):
        # This is what brings the file into the sdist.
        return [*super().get_source_files(), START_UP_FILE]


setup(cmdclass={"build_py": build_py_with_start_up_file})

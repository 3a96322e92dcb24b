"""Install devpatch.pth next to the package. All metadata is in setup.cfg."""

import os

from setuptools import setup
from setuptools.command.build_py import build_py

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


setup(cmdclass={"build_py": build_py_with_start_up_file})

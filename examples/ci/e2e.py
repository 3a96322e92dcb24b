"""End-to-end tests of the polls: `python -m unittest e2e`. They stand for Playwright, pytest or Cypress."""

import os
import unittest
import urllib.request

URL = os.environ.get("URL", "http://127.0.0.1:8000")


class Polls(unittest.TestCase):
    def test_the_first_page(self):
        with urllib.request.urlopen(f"{URL}/") as response:
            self.assertEqual(response.status, 200)

    def test_the_results(self):
        with urllib.request.urlopen(f"{URL}/results/") as response:
            self.assertEqual(response.status, 200)


if __name__ == "__main__":
    unittest.main()

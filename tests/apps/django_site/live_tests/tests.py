import threading
import urllib.error
import urllib.request

from django.test import LiveServerTestCase, SimpleTestCase


class ClientTest(SimpleTestCase):
    def test_it_raises(self):
        with self.assertRaises(ValueError):
            self.client.get("/view/")

    def test_it_answers(self):
        self.client.raise_request_exception = False
        self.assertEqual(self.client.get("/view/").status_code, 500)


class LiveTest(LiveServerTestCase):
    def test_it_answers(self):
        for path, status in (("/view/", 500), ("/stream-first/", 500), ("/exit-7/", 500), ("/ok/", 200)):
            with self.subTest(path):
                try:
                    found = urllib.request.urlopen(self.live_server_url + path).status
                except urllib.error.HTTPError as error:
                    found = error.code
                self.assertEqual(found, status)

    def test_its_threads_are_its_own(self):
        urllib.request.urlopen(self.live_server_url + "/ok/")
        self.assertFalse([thread for thread in threading.enumerate() if "devpatch" in thread.name])

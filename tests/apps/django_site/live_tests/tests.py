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

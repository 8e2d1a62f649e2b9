"""Reads, with ipfsspec, what is asked for on stdin, a JSON object a line, and says what came. Run by itself."""

import base64
import json
import sys

from ipfsspec import AsyncIPFSFileSystem

files = AsyncIPFSFileSystem(gateway_addr=sys.argv[1])
for line in sys.stdin:
    asked = json.loads(line)
    path = asked["path"]
    if asked["verb"] == "ls":
        said = [[entry["name"], entry["type"], entry.get("size")] for entry in files.ls(path, detail=True)]
    elif asked["verb"] == "info":
        found = files.info(path)
        said = [found["CID"], found["type"], found.get("size")]
    else:
        data = files.cat_file(path, start=asked.get("start"), end=asked.get("end"))
        said = base64.b64encode(data).decode()
    print(json.dumps(said))

"""Runs in a pod of the cluster, on plain Python: asks a server and prints what came of it as JSON.

get URL | chat URL MODEL TOKENS | stream URL MODEL TOKENS | load URL MODEL TOKENS USERS SECONDS |
reach HOST PORT
"""

import itertools
import json
import socket
import statistics
import sys
import threading
import time
import urllib.error
import urllib.request


def main(verb, *words):
    print(json.dumps(VERBS[verb](*words)))


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return {"status": answer.status, "body": answer.read().decode()}


def body(model, tokens, *, stream):
    message = {"role": "user", "content": "word " * 200}
    return json.dumps(
        {
            "model": model,
            "messages": [message],
            "max_tokens": int(tokens),
            "ignore_eos": True,
            "stream": stream,
            **({"stream_options": {"include_usage": True}} if stream else {}),
        }
    ).encode()


def post(url, data):
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url + "/v1/chat/completions", data=data, headers=headers)
    return urllib.request.urlopen(request, timeout=90)


def chat(url, model, tokens):
    with post(url, body(model, tokens, stream=False)) as answer:
        return {"status": answer.status, "body": json.loads(answer.read())}


def stream(url, model, tokens):
    """Times of the chunks with text, the tokens that usage counts, and whether the end was seen."""
    began = time.monotonic()
    times, usage, is_done = [], {}, False
    with post(url, body(model, tokens, stream=True)) as answer:
        for line in answer:
            text = line.decode().strip().removeprefix("data: ")
            if text == "[DONE]":
                is_done = True
            elif text.startswith("{"):
                chunk = json.loads(text)
                usage = chunk.get("usage") or usage
                choices = chunk.get("choices") or [{}]
                if choices[0].get("delta", {}).get("content"):
                    times.append(time.monotonic())
    gaps = [b - a for a, b in itertools.pairwise(times)]
    return {
        "done": is_done,
        "chunks": len(times),
        "usage": usage,
        "ttft": times[0] - began if times else None,
        "itl": statistics.median(gaps) if gaps else None,
        "seconds": time.monotonic() - began,
    }


def load(url, model, tokens, users, seconds):
    """Users that ask again and again; an answer without its end is lost."""
    end = time.monotonic() + float(seconds)
    served, lost = [], []

    def user():
        while time.monotonic() < end:
            try:
                found = stream(url, model, tokens)
                (served if found["done"] else lost).append(found["seconds"])
            except (OSError, ValueError, urllib.error.URLError) as fault:
                lost.append(f"{type(fault).__name__}: {fault}")
                time.sleep(0.2)

    threads = [threading.Thread(target=user) for _ in range(int(users))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"served": len(served), "lost": len(lost), "faults": [str(each) for each in lost[:5]]}


def reach(host, port):
    try:
        with socket.create_connection((host, int(port)), timeout=4):
            return {"reached": True}
    except OSError as fault:
        return {"reached": False, "fault": str(fault)}


def resolve(host):
    return {"address": socket.gethostbyname(host)}


VERBS = {
    "get": get,
    "chat": chat,
    "stream": stream,
    "load": load,
    "reach": reach,
    "resolve": resolve,
}

if __name__ == "__main__":
    main(*sys.argv[1:])

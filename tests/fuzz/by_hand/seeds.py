"""Where fuzzing by hand begins: what providers, callers and operators really write, and the words it is made of."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.subjects import STREAMS
from tests.proxy.recorded_streams import STREAMS as RECORDED

ROOT = Path(__file__).resolve().parents[3]

_CONFIGS = [
    b"",
    b"listen: 127.0.0.1:8080\nadmin: {listen: '[::1]:9090', token: '${KEY}', open: [metrics]}\nstore: 'memory:'\n",
    b"providers:\n  groq: {}\n  lab: {base_url: 'http://h/v1', api_key: '${KEY}', headers: {x-a: b}}\n",
    b"providers: {openai: &o {timeouts: {idle: 1h30m}}, anthropic: *o}\n",
    b"models:\n  m:\n    tier: popular\n    targets:\n    - groq/a\n    - {target: openai/b, context_window: 1310}\n",
    b"alerts: {channels: {ops: {type: slack, url: 'https://h/${KEY}'}}, rules: {health: {warning: 90, for: 2m}}}\n",
    b"upstream: {proxy: 'http://u:p@h:3128', no_proxy: [10.0.0.0/8, .corp, '*']}\nlimits: {replay: 8MiB}\n",
    b"store: redis+sentinel://u:p@h:26379,h2/service/0\nredis: {fleet: a, timeout: 100ms}\nlog: {level: debug}\n",
]
_BODIES = [
    b'{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"\\"model\\""}],"reasoning_effort":"low"}',
    b'\xef\xbb\xbf {"x":[1,{"model":"in"}],"mod\\u0065l":"a","model":"b","thinking":{"type":"enabled"}} ',
    b'{"generationConfig":{"thinkingConfig":{"thinkingBudget":0}},"contents":[]}',
]
_FORMS = [
    b'--B\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--B\r\nContent-Disposition: form-data; '
    b'name="file"; filename="a"\r\n\r\n\x00\x01\r\n--B--\r\n',
]
_PATHS = [
    b"/v1beta/models/gemini-2.0-flash:streamGenerateContent",
    b"/v1/projects/p/locations/l/publishers/google/models/g:predict",
    b"/fal-ai/flux/dev/requests/1/status",
]

SEEDS: dict[str, list[bytes]] = {
    "inspector": [
        bytes([kind]) + b"\x07\x01\x40" + stream.body
        for stream in RECORDED
        for kind, known in enumerate(STREAMS)
        if known[1:] == (stream.dialect, stream.shape)
    ],
    "config": [*_CONFIGS, *(path.read_bytes() for path in sorted(ROOT.glob("bench/configs/*.yaml")))],
    "finder": [
        *(bytes([kind]) + body for kind in range(3) for body in _BODIES),
        *(bytes([kind]) + body for kind in range(3, 5) for body in _FORMS),
        *(bytes([kind]) + body for kind in range(5, 9) for body in _PATHS),
    ],
}

DICTIONARY: dict[str, list[bytes]] = {
    "inspector": [
        *(
            b"data: ",
            b"event: ",
            b"\n\n",
            b"\r\n\r\n",
            b"[DONE]",
            b'"choices":[',
            b'"delta":{',
            b'"content":"',
            b'"error":{',
        ),
        *(
            b'"finish_reason":"',
            b'"type":"',
            b'"message_stop"',
            b'"response.completed"',
            b'"candidates":[',
            b'"finishReason":"',
        ),
        *(
            b'"code":',
            b'"message":"',
            b'"detail":',
            b"event: error\n",
            b"\xef\xbb\xbf",
            b'"blockReason":"',
            b'"retryDelay":"',
        ),
    ],
    "config": [
        *(b"providers:", b"models:", b"targets:", b"api_key:", b"base_url:", b"timeouts:", b"breakers:", b"alerts:"),
        *(
            b"channels:",
            b"rules:",
            b"url:",
            b"type:",
            b"listen:",
            b"admin:",
            b"store:",
            b"upstream:",
            b"proxy:",
            b"tls:",
        ),
        *(
            b"${KEY}",
            b"${A}",
            b"${file:x}",
            b"$$",
            b"http://",
            b"redis://",
            b"127.0.0.1:0",
            b"groq/",
            b"*a",
            b"&a ",
            b"!x ",
        ),
        *(
            b"\n  ",
            b"- ",
            b": ",
            b"'",
            b'"',
            b"{",
            b"}",
            b"[",
            b"]",
            b"<<",
            b"---",
            b"| ",
            b"30s",
            b"64KiB",
            b"off",
            b"headers:",
        ),
    ],
    "finder": [
        *(
            b'"model"',
            b'"mod\\u0065l"',
            b'"stream":true',
            b'"model":"a"',
            b"\\u",
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b"--B",
        ),
        *(
            b"\r\n\r\n",
            b"--B--\r\n",
            b'Content-Disposition: form-data; name="model"',
            b"/models/",
            b":generateContent",
            b"%2F",
        ),
    ],
}

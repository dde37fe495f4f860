"""What devices can do."""

import torch

from gatecast.nn.devices import answers_at_once, multiplies_halved


def test_the_processor():
    cpu = torch.device("cpu")
    assert answers_at_once(cpu)
    assert multiplies_halved(cpu) == torch.ops.mkldnn._is_mkldnn_bf16_supported()


def test_what_cannot_be_done_is_told(monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("could not create a primitive descriptor")

    monkeypatch.setattr(torch.nn, "LSTM", refuse)
    assert not multiplies_halved.__wrapped__(torch.device("cpu"))
    assert not answers_at_once(torch.device("meta"))

"""The programs that one endpoint configuration puts to work."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ift_sagemaker.local.hosting import traffic
from ift_sagemaker.local.hosting.server import Phase, Site, VariantServer
from ift_sagemaker.local.state.resources import Document
from ift_sagemaker.local.supervision.folders import remove_tree


class Fleet:
    """One server a variant, brought up together and ended together."""

    def __init__(self, site: Site, document: Document) -> None:
        self._site = site
        self.number: int = document["number"]
        self.async_config: Document | None = document["async"]
        self._gate = traffic.gate(site.place.home, self.number)
        traffic.open_gate(self._gate)
        self.servers = [
            VariantServer(site, variant, self._folder(variant["name"])) for variant in document["variants"]
        ]

    def _folder(self, variant: str) -> str:
        return f"{self.number}-{variant}"

    def turn(self, timeout: float) -> None:
        """Goes on with every server, in `timeout` seconds or a little more."""
        for server in self.servers:
            server.turn(timeout / len(self.servers))

    @property
    def ports(self) -> dict[str, int | None]:
        """Where each variant answers now."""
        return {server.name: server.port for server in self.servers}

    @property
    def is_healthy(self) -> bool:
        return all(server.phase is Phase.HEALTHY for server in self.servers)

    @property
    def is_gone(self) -> bool:
        return all(server.phase is Phase.GONE for server in self.servers)

    @property
    def lost(self) -> str | None:
        """Why a variant gave up, None while none has."""
        return next((server.lost for server in self.servers if server.lost), None)

    @property
    def is_quiet(self) -> bool:
        """Whether nobody asks it any more; only for a fleet that is no longer the endpoint's own."""
        return traffic.is_quiet(self._gate)

    def records(self) -> list[dict[str, Any]]:
        """What another process needs to end the programs."""
        return [record for server in self.servers if (record := server.record())]

    def stop(self) -> None:
        """Asks all programs to end, also those after one that cannot be asked; raises what broke."""
        with ExitStack() as asking:
            for server in self.servers:
                asking.callback(server.stop)

    def clear(self) -> None:
        """Removes the folders of a fleet that is gone."""
        self._gate.unlink(missing_ok=True)
        for server in self.servers:
            remove_tree(self._site.place.home / self._folder(server.name))

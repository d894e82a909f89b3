"""Functions as LocalStack's Lambda runs them: each execution environment a process of Lambda's own runtime emulator.

LAMBDA_EMULATOR names the emulator's program (it comes with SAM), LAMBDA_PYTHON a Python of the functions' version with
what Lambda's has: awslambdaric and boto3.
"""

from __future__ import annotations

import os
from typing import Any, Final

from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from zarrlink_localstack.emulator import Emulator
from zarrlink_localstack.outcome import outcome_of
from zarrlink_localstack.variables import variables

_LOOPBACK: Final = "127.0.0.1"


class EmulatorExecutor(RuntimeExecutor):  # type: ignore[misc]  # LocalStack comes without types
    """One execution environment. LocalStack makes as many as there are invocations at once."""

    _emulator: Emulator | None = None

    def start(self, env_vars: dict[str, Any]) -> None:
        config = self.function_version.config
        task = config.code.get_unzipped_code_location()
        # Layers lie in one /opt in Lambda, where a later one covers an earlier one.
        layers = [layer.code.get_unzipped_code_location() for layer in reversed(config.layers)]
        command = [os.environ["LAMBDA_EMULATOR"], os.environ["LAMBDA_PYTHON"], "-m", "awslambdaric", config.handler]
        self._emulator = Emulator(command, task, variables(env_vars, config.runtime, task, layers))

    def stop(self) -> None:
        if self._emulator is not None:
            self._emulator.stop()

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        assert self._emulator is not None
        status, body, log = self._emulator.invoke(payload["payload"].encode())
        outcome = outcome_of(status, body)
        return InvocationResult(
            request_id=payload["invoke-id"], payload=outcome.payload, is_error=outcome.failed, logs=log
        )

    def get_logs(self) -> str:
        return "" if self._emulator is None else self._emulator.log()

    def get_address(self) -> str:
        return _LOOPBACK

    def get_endpoint_from_executor(self) -> str:
        return _LOOPBACK

    def get_runtime_endpoint(self) -> str:
        # Where Docker's environments call back; ours are called.
        return ""

    @classmethod
    def prepare_version(cls, function_version: Any) -> None:
        config = function_version.config
        for code in (config.code, *(layer.code for layer in config.layers)):
            code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version: Any) -> None:
        # Its code stays, as its layers do: the version after it has the same.
        pass


class EmulatorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]  # as above
    """LAMBDA_RUNTIME_EXECUTOR=emulator."""

    name = "emulator"

    def load(self, *_args: Any, **_named: Any) -> type[EmulatorExecutor]:
        return EmulatorExecutor

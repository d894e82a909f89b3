"""Where LocalStack is joined: run when it starts, by the names in pyproject.toml."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import tempfile
from functools import partial, partialmethod
from pathlib import Path
from typing import Any, Final

from localstack.runtime import hooks

from zarrlink_localstack.door import Door
from zarrlink_localstack.faults import PATH, Fault, Faults
from zarrlink_localstack.own_answers import constant_headers, own_answers

FAULTS: Final = Faults()
LOOK_S: Final = 0.2


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # LocalStack comes without types
def stay_on_loopback() -> None:
    """GATEWAY_LISTEN's host is one of IPv6 or counts for nothing, and it takes any credentials: whoever reached it could
    run code here."""
    from twisted.internet import endpoints

    endpoints.TCP4ServerEndpoint = partial(endpoints.TCP4ServerEndpoint, interface="127.0.0.1")


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # as above
def leave_origins_to_the_api() -> None:
    """Of which pages may call it, the API at its own address decides, as behind API Gateway; of all else LocalStack does."""
    from localstack.aws.handlers import cors

    is_call, door = cors.is_execute_api_call, os.environ.get("ZARRLINK_DOOR")

    def is_for_the_api(context: Any) -> bool:
        return (door is not None and context.request.host == door) or bool(is_call(context))

    cors.is_execute_api_call = is_for_the_api


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # as above
def let_services_fail() -> None:
    """As /_zarrlink/faults says; what LocalStack's own parts ask of one another never fails."""
    from localstack.aws.api import CommonServiceException
    from localstack.aws.handlers import serve_custom_service_request_handlers
    from localstack.http import Response
    from localstack.services.edge import ROUTER

    def handle(_chain: Any, context: Any, _response: Any) -> None:
        if context.is_internal_call or context.service_request is None:
            return
        request = context.service_request
        fault = FAULTS.meet(context.service.service_name, context.operation.name, request)
        if fault is not None:
            raise CommonServiceException(fault.code, "as the fault says", fault.status, sender_fault=fault.status < 500)

    def faults(request: Any) -> Response:
        if request.method == "PUT":
            try:
                FAULTS.put([Fault.from_json(value) for value in json.loads(request.data)])
            except (TypeError, ValueError) as error:
                return Response(str(error), 400)
        if request.method == "DELETE":
            FAULTS.put([])
        return Response.for_json([dataclasses.asdict(fault) for fault in FAULTS.left()])

    serve_custom_service_request_handlers.append(handle)
    ROUTER.add(PATH, faults, methods=["GET", "PUT", "DELETE"])


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # as above
def honour_log_groups() -> None:
    """Functions log where LoggingConfig says, which LocalStack keeps and does not look at."""
    from localstack.services.lambda_.invocation.execution_environment import ExecutionEnvironment

    own_name = ExecutionEnvironment.get_log_group_name

    def log_group(environment: Any) -> str:
        return str(environment.function_version.config.logging_config.get("LogGroup") or own_name(environment))

    ExecutionEnvironment.get_log_group_name = log_group


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # as above
def keep_objects_in_tmpdir() -> None:
    """S3 has one folder in /tmp for everybody on this machine, which stays: the first user's, that no other may write."""
    from localstack.services.s3 import provider

    provider.DEFAULT_S3_TMP_DIR = str(Path(tempfile.gettempdir()) / "s3")


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # as above
def complete_gateway() -> None:
    """What API Gateway does and LocalStack's leaves out: `*/*` means every answer is bytes, and its own errors have the
    status and the headers that the template gives them."""
    from localstack.services.apigateway.helpers import get_rest_api_container, parse_json_or_yaml
    from localstack.services.apigateway.legacy import provider
    from localstack.services.apigateway.next_gen.execute_api.gateway_response import get_gateway_response_or_default
    from localstack.services.apigateway.next_gen.execute_api.handlers.gateway_exception import GatewayExceptionHandler
    from localstack.services.apigateway.next_gen.execute_api.integrations import aws

    matches = aws.mime_type_matches_binary_media_types

    def takes_bytes(mime_type: str | None, binary_media_types: list[str]) -> bool:
        return "*/*" in (binary_media_types or ()) or matches(mime_type, binary_media_types)

    make_answer = GatewayExceptionHandler.create_exception_response

    def answer_with_headers(handler: Any, exception: Any, context: Any) -> Any:
        answer = make_answer(handler, exception, context)
        chosen = get_gateway_response_or_default(exception.type, context.deployment.rest_api.gateway_responses)
        answer.headers.update(constant_headers(chosen.get("responseParameters") or {}))
        return answer

    take_in = provider.import_api_from_openapi_spec

    def take_in_all(rest_api: Any, context: Any, request: Any) -> Any:
        body = request["body"].read()
        taken = take_in(rest_api, context, {**request, "body": io.BytesIO(body)})
        known = get_rest_api_container(context, rest_api_id=rest_api.id).gateway_responses
        known |= own_answers(parse_json_or_yaml(body.decode()))
        return taken

    provider.import_api_from_openapi_spec = take_in_all
    aws.mime_type_matches_binary_media_types = takes_bytes
    GatewayExceptionHandler.create_exception_response = answer_with_headers


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # as above
def look_sooner() -> None:
    """CloudFormation waits five seconds before it looks whether a function is ready, for each of them."""
    from localstack.services.cloudformation.resource_provider import ResourceProviderExecutor

    ResourceProviderExecutor.deploy_loop = partialmethod(ResourceProviderExecutor.deploy_loop, sleep_time=LOOK_S)


@hooks.on_infra_start()  # type: ignore[untyped-decorator]  # as above
def take_numbers() -> None:
    """A parameter of type Number is a number to CloudFormation, and text to LocalStack's, which alarms refuse."""
    from localstack.services.cloudwatch.resource_providers.aws_cloudwatch_alarm import CloudWatchAlarmProvider

    create = CloudWatchAlarmProvider.create

    def create_with_numbers(provider: Any, request: Any) -> Any:
        wished = request.desired_state
        wished |= {name: float(wished[name]) for name in ("Threshold",) if name in wished}
        return create(provider, request)

    CloudWatchAlarmProvider.create = create_with_numbers


@hooks.on_infra_ready()  # type: ignore[untyped-decorator]  # as above
def open_door() -> None:
    """The API's own address, where ZARRLINK_DOOR names one, such as 127.0.0.1:4567; LocalStack has to listen there."""
    host = os.environ.get("ZARRLINK_DOOR")
    if not host:
        return
    from localstack.constants import AWS_REGION_US_EAST_1, DEFAULT_AWS_ACCOUNT_ID
    from localstack.http import Response
    from localstack.services.apigateway.models import apigateway_stores
    from localstack.services.apigateway.next_gen.execute_api.router import ApiGatewayEndpoint
    from localstack.services.edge import ROUTER

    def apis() -> Any:
        return apigateway_stores[DEFAULT_AWS_ACCOUNT_ID][AWS_REGION_US_EAST_1].active_deployments

    door = Door(ApiGatewayEndpoint(), apis, lambda sentence: Response(sentence, 404))
    ROUTER.add("/", door, host=host)
    ROUTER.add("/<path:path>", door, host=host)

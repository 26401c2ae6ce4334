"""The official Datadog client writes to the stand-in and finds what it wrote: the stand-in is one
that the client takes for Datadog.

    datadog_client.py URL
"""

import datetime
import sys

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.exceptions import ApiException
from datadog_api_client.v2.api.logs_api import LogsApi
from datadog_api_client.v2.model.content_encoding import ContentEncoding
from datadog_api_client.v2.model.http_log import HTTPLog
from datadog_api_client.v2.model.http_log_item import HTTPLogItem
from datadog_api_client.v2.model.logs_list_request import LogsListRequest
from datadog_api_client.v2.model.logs_list_request_page import LogsListRequestPage
from datadog_api_client.v2.model.logs_query_filter import LogsQueryFilter
from datadog_api_client.v2.model.logs_sort import LogsSort


def client(url, api_key="api-key", application_key="application-key"):
    configuration = Configuration()
    protocol, _, name = url.partition("://")
    # Server 1 of every operation is one that can be named.
    configuration.server_variables.update(protocol=protocol, name=name)
    configuration.server_index = 1
    configuration.server_operation_index = {"v2.submit_log": 1, "v2.list_logs": 1}
    configuration.api_key["apiKeyAuth"] = api_key
    configuration.api_key["appKeyAuth"] = application_key
    return LogsApi(ApiClient(configuration))


def main(url):
    api = client(url)
    for coding in (ContentEncoding.IDENTITY, ContentEncoding.GZIP, ContentEncoding.DEFLATE):
        items = [
            HTTPLogItem(
                message=f"line {number}",
                ddsource="client",
                ddtags="Env:Test",
                hostname="here",
                service="train",
                run="a \"b\"",
                coding=str(coding),
                number=number,
            )
            for number in range(7)
        ]
        api.submit_log(body=HTTPLog(items), content_encoding=coding)

    query = '@run:"a \\"b\\"" env:test source:client service:train'
    now = datetime.datetime.now(datetime.timezone.utc)
    request = LogsListRequest(
        filter=LogsQueryFilter(query=query, _from="now-1h", to=(now + datetime.timedelta(hours=1)).isoformat(timespec="milliseconds")),
        sort=LogsSort.TIMESTAMP_ASCENDING,
        page=LogsListRequestPage(limit=5),
    )
    logs = list(api.list_logs_with_pagination(body=request))
    assert len(logs) == 21, len(logs)
    assert len({log.id for log in logs}) == 21
    log = logs[0].attributes
    assert (log.host, log.service, log.status) == ("here", "train", "info"), log
    assert sorted(log.tags) == ["env:test", "source:client"], log
    assert log.attributes["run"] == 'a "b"', log

    for keys, search in (({"api_key": "wrong"}, False), ({"application_key": "wrong"}, True)):
        denied = client(url, **keys)
        try:
            denied.list_logs(body=request) if search else denied.submit_log(body=HTTPLog(items))
        except ApiException as error:
            assert error.status == 403, error
        else:
            raise AssertionError(f"{keys} were taken")


if __name__ == "__main__":
    main(sys.argv[1])

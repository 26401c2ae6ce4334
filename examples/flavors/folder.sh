#!/bin/sh
# A log store flavor that keeps each request in a file of its own. Key: path, a folder.
# Protocol: docs/custom-flavor.md. Needs jq.
set -eu

config='{"type":"object","properties":{"path":{"type":"string","description":"a folder"}},"required":["path"]}'

while IFS= read -r message; do
    field() { printf '%s' "$message" | jq -r "$1"; }
    id=$(field .id)
    case $(field .type) in
    describe)
        printf '{"type":"description","id":"%s","protocol":1,"name":"folder","version":"1.0","config":%s}\n' \
            "$id" "$config"
        ;;
    configure)
        path=$(field .config.path)
        mkdir -p "$path"
        printf '{"type":"ack","id":"%s"}\n' "$id"
        ;;
    write)
        # The batch is whole in its own file or not there: what is sent again replaces itself.
        batch=$(field .batch)
        records=$(field .records)
        while [ "$records" -gt 0 ]; do
            IFS= read -r record
            printf '%s\n' "$record"
            records=$((records - 1))
        done >"$path/.$batch"
        sync "$path/.$batch"
        mv "$path/.$batch" "$path/$batch.ndjson"
        printf '{"type":"ack","id":"%s"}\n' "$id"
        ;;
    flush | shutdown)
        printf '{"type":"ack","id":"%s"}\n' "$id"
        ;;
    *)
        printf '{"type":"error","id":"%s","kind":"fatal","message":"this flavor only writes"}\n' "$id"
        ;;
    esac
done

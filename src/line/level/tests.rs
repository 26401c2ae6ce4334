//! Real lines of real loggers, and lines that look like them and are not.

use super::*;
use crate::record::Level::{Critical, Debug, Error, Info, Trace, Warning};

fn check(table: &[(&str, Option<Level>)]) {
    let wrong: Vec<String> = table
        .iter()
        .filter(|(line, expected)| detect(line.as_bytes()) != *expected)
        .map(|(line, expected)| {
            format!("{line:?}: found {:?}, expected {expected:?}", detect(line.as_bytes()))
        })
        .collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn all(level: Level, lines: &[&str]) {
    let table: Vec<_> = lines.iter().map(|line| (*line, Some(level))).collect();
    check(&table);
}

#[test]
fn python() {
    check(&[
        ("WARNING:root:disk is nearly full", Some(Warning)),
        ("ERROR:my.module:no such file", Some(Error)),
        ("DEBUG:asyncio:Using selector: EpollSelector", Some(Debug)),
        ("CRITICAL:root:gone", Some(Critical)),
        ("2024-01-01 12:00:00,123 - name - ERROR - msg", Some(Error)),
        ("2024-01-01 12:00:00,123 - my.logger.name - INFO - Epoch 1", Some(Info)),
        ("2024-01-01 12:00:00,123 - INFO - msg", Some(Info)),
        ("2024-01-01 12:00:00,123 INFO name: msg", Some(Info)),
        ("2024-01-01 12:00:00,123 [INFO] msg", Some(Info)),
        ("2024-01-01 12:00:00,123 [MainThread] [INFO ]  msg", Some(Info)),
        ("2024-01-01 12:00:00,123:WARNING:name:msg", Some(Warning)),
        ("2024-01-01 12:00:00,123|ERROR|name|msg", Some(Error)),
        ("[2024-01-01 12:00:00,123] INFO in app: started", Some(Info)),
        ("[2024-01-01 12:00:00,123] [WARNING] msg", Some(Warning)),
        ("[2024-01-01 12:00:00,123: INFO/MainProcess] celery@host ready.", Some(Info)),
        ("[2024-01-01 12:00:00,123: ERROR/ForkPoolWorker-1] Task failed", Some(Error)),
        ("root - WARNING - low memory", Some(Warning)),
        ("2024-01-01 12:00:00.123 | INFO     | __main__:main:12 - msg", Some(Info)),
        ("2024-01-01 12:00:00.123 | SUCCESS  | __main__:main:12 - done", Some(Info)),
        ("2024-01-01 12:00:00 [info     ] user logged in  user=1", Some(Info)),
        ("2024-01-01 12:00:00 [error    ] it broke", Some(Error)),
        ("INFO:     Started server process [1234]", Some(Info)),
        ("INFO:     127.0.0.1:1234 - \"GET / HTTP/1.1\" 200 OK", Some(Info)),
        ("[2024-01-01 12:00:00 +0000] [7] [INFO] Booting worker with pid: 7", Some(Info)),
        ("/usr/lib/x.py:12: UserWarning: deprecated", Some(Warning)),
        ("<string>:1: DeprecationWarning: use y", Some(Warning)),
        ("UserWarning: something", Some(Warning)),
        ("Traceback (most recent call last):", Some(Error)),
        ("ValueError: bad", Some(Error)),
        ("KeyError: 'x'", Some(Error)),
        ("json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)", Some(Error)),
        ("requests.exceptions.ConnectionError: HTTPConnectionPool(host='x')", Some(Error)),
        ("torch.OutOfMemoryError: CUDA out of memory.", Some(Error)),
        ("RuntimeError: CUDA error: an illegal memory access", Some(Error)),
        ("AssertionError", Some(Error)),
        ("Exception: x", Some(Error)),
        ("KeyboardInterrupt", Some(Error)),
        ("Fatal Python error: Segmentation fault", Some(Critical)),
        ("ERROR conda.core.link:_execute(938): An error occurred", Some(Error)),
        ("ERROR: Could not find a version that satisfies the requirement x", Some(Error)),
        ("  WARNING: The script x is installed in '/y' which is not on PATH.", Some(Warning)),
        ("FAIL: test_it (tests.test_x.Case)", Some(Error)),
    ]);
}

#[test]
fn machine_learning() {
    check(&[
        ("host-1:123:456 [0] NCCL INFO Bootstrap : Using eth0", Some(Info)),
        ("host-1:123:456 [0] NCCL WARN Call to connect failed", Some(Warning)),
        ("[2024-01-01 12:00:00] host:123:456 [0] net.cc:12 NCCL WARN x", Some(Warning)),
        ("host:12:34 [3] misc/socket.cc:484 NCCL WARN socketStartConnect: failed", Some(Warning)),
        ("2024-01-01 12:00:00.123456: W tensorflow/core/x.cc:12] msg", Some(Warning)),
        ("2024-01-01 12:00:00.123456: I tensorflow/core/platform/cpu.cc:210] This", Some(Info)),
        ("2024-01-01 12:00:00.123456: E external/local_xla/xla/x.cc:9] Unable", Some(Error)),
        ("E0102 15:04:05.678901 1234 file:12] msg", Some(Error)),
        ("I0102 15:04:05.678901    1 controller.go:12] msg", Some(Info)),
        ("W20240102 15:04:05.678901 1234 file.cc:12] msg", Some(Warning)),
        ("F0102 15:04:05.678901 1234 file:12] Check failed", Some(Critical)),
        ("[rank0]:[W102 12:34:56.789 ProcessGroupNCCL.cpp:1496] Warning: x", Some(Warning)),
        ("[rank3]:[E102 12:34:56.789 ProcessGroupNCCL.cpp:616] [Rank 3] Watchdog", Some(Error)),
        ("[W ProcessGroupNCCL.cpp:1234] Warning: x", Some(Warning)),
        ("[W socket.cpp:697] [c10d] The client socket", Some(Warning)),
        ("[rank0]: Traceback (most recent call last):", Some(Error)),
        ("[rank0]: ValueError: x", Some(Error)),
        ("W0102 15:04:05.678 123 torch/distributed/run.py:792] ", Some(Warning)),
        ("[2024-01-01 12:00:00,123] torch.distributed.run: [WARNING] ***", Some(Warning)),
        ("[2024-01-01 12:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] x", Some(Info)),
        ("[INFO|trainer.py:123] 2024-01-01 12:00:00,123 >> Saving", Some(Info)),
        ("INFO 01-01 12:00:00 llm_engine.py:72] Initializing", Some(Info)),
        ("(EngineCore pid=123) INFO 01-01 12:00:00 [core.py:58] x", Some(Info)),
        ("2024-01-01 12:00:00,123\tINFO worker.py:1234 -- Started a local Ray", Some(Info)),
        ("[2024-01-01 12:00:00,123 E 123 456] (raylet) node_manager.cc:1: x", Some(Error)),
        ("(raylet) [2024-01-01 12:00:00,123 W 123 456] (raylet) x.cc:1: x", Some(Warning)),
        ("12:00:00.123 | INFO    | Flow run 'x' - Finished", Some(Info)),
        ("12:00:00.123 | ERROR   | Task run 'x' - failed", Some(Error)),
        ("2024-01-01 12:00:00 +0000 - dagster - DEBUG - job - run - step - x", Some(Debug)),
        ("[2024-01-01T12:00:00.123+0000] {taskinstance.py:1157} INFO - msg", Some(Info)),
        ("[2024-01-01, 12:00:00 UTC] {local_task_job.py:1} ERROR - x", Some(Error)),
        ("Warning: a is deprecated", Some(Warning)),
    ]);
}

#[test]
fn java() {
    check(&[
        ("2024-01-01 12:00:00,123 INFO  [main] com.foo.Bar - msg", Some(Info)),
        ("12:00:00.123 [main] INFO  com.foo.Bar - msg", Some(Info)),
        ("12:00:00.123 [pool-1-thread-2] WARN  c.f.Bar - msg", Some(Warning)),
        ("2024-01-01T12:00:00.123Z  INFO 1234 --- [main] c.e.Foo : msg", Some(Info)),
        ("2024-01-01 12:00:00.123 ERROR 1 --- [nio-8080-exec-1] o.a.c.c : x", Some(Error)),
        ("24/01/01 12:00:00 INFO SparkContext: Running Spark version 3.5.0", Some(Info)),
        ("24/01/01 12:00:00 WARN NativeCodeLoader: Unable to load", Some(Warning)),
        ("[2024-01-01 12:00:00,123] INFO [KafkaServer id=0] started (kafka.server)", Some(Info)),
        ("INFO  [main] 2024-01-01 12:00:00,123 Server.java:12 - x", Some(Info)),
        ("[INFO] Scanning for projects...", Some(Info)),
        ("[ERROR] COMPILATION ERROR : ", Some(Error)),
        ("[WARNING] /x/Foo.java:[12,5] deprecated", Some(Warning)),
        ("Exception in thread \"main\" java.lang.RuntimeException: x", Some(Error)),
        ("java.lang.IllegalStateException: x", Some(Error)),
        ("Jan 01, 2024 12:00:00 PM org.x.Main main", None),
        ("SEVERE: Servlet threw", Some(Error)),
        ("FINE: details", Some(Debug)),
    ]);
}

#[test]
fn rust_and_go() {
    check(&[
        ("[2024-01-01T12:00:00Z ERROR my_app] failed", Some(Error)),
        ("[2024-01-01T12:00:00Z INFO  my_app::db] ready", Some(Info)),
        ("2024-01-01T12:00:00.123456Z  WARN my_app: slow", Some(Warning)),
        ("2024-01-01T12:00:00.123456Z TRACE my_app::x: in", Some(Trace)),
        (
            "\x1b[2m2024-01-01T12:00:00.123456Z\x1b[0m \x1b[33m WARN\x1b[0m \x1b[2mapp\x1b[0m\x1b[2m:\x1b[0m x",
            Some(Warning),
        ),
        (
            "\x1b[90m[\x1b[0m2024-01-01T12:00:00Z \x1b[31mERROR\x1b[0m app\x1b[90m]\x1b[0m x",
            Some(Error),
        ),
        ("\x1b[1m\x1b[31merror\x1b[0m\x1b[1m: could not compile\x1b[0m", Some(Error)),
        ("error[E0425]: cannot find value `x` in this scope", Some(Error)),
        ("warning: unused variable: `x`", Some(Warning)),
        ("error: could not compile `x` (lib) due to 1 previous error", Some(Error)),
        ("thread 'main' panicked at src/main.rs:2:5:", Some(Error)),
        ("thread 'main' (1234) panicked at 'boom', src/main.rs:2:5", Some(Error)),
        ("panic: runtime error: index out of range", Some(Critical)),
        ("fatal error: all goroutines are asleep - deadlock!", Some(Critical)),
        ("2024/01/01 12:00:00 ERROR failed err=x", Some(Error)),
        ("2024-01-01T12:00:00.123Z\tinfo\tcmd/main.go:12\tstarted", Some(Info)),
        ("2024-01-01T12:00:00.123Z\tERROR\tcmd/main.go:12\tfailed", Some(Error)),
        ("12:00PM INF started", Some(Info)),
        ("12:00PM ERR failed error=\"x\"", Some(Error)),
        ("time=\"2024-01-01T12:00:00Z\" level=warning msg=\"x\"", Some(Warning)),
        ("time=2024-01-01T12:00:00.000Z level=INFO msg=hello", Some(Info)),
        ("ts=2024-01-01T12:00:00Z caller=x.go:1 level=error err=x", Some(Error)),
        ("level=debug ts=2024 msg=x", Some(Debug)),
        ("INFO[0000] started", None),
    ]);
}

#[test]
fn programs_and_systems() {
    check(&[
        ("<3>Jan  1 12:00:00 host kernel: x", Some(Error)),
        ("<0>panic", Some(Critical)),
        ("<4>warn", Some(Warning)),
        ("<6>info", Some(Info)),
        ("<7>debug", Some(Debug)),
        ("Jan  1 12:00:00 host app[123]: ERROR x", Some(Error)),
        ("2024/01/01 12:00:00 [error] 123#123: *1 open() failed", Some(Error)),
        ("[Mon Jan 01 12:00:00.123456 2024] [core:error] [pid 1] x", Some(Error)),
        ("[Mon Jan 01 12:00:00.123456 2024] [mpm_event:notice] [pid 1] x", Some(Info)),
        ("2024-01-01 12:00:00.123 UTC [123] ERROR:  relation does not exist", Some(Error)),
        ("2024-01-01 12:00:00.123 UTC [123] LOG:  checkpoint starting", None),
        ("2024-01-01 12:00:00.123 UTC [123] FATAL:  password failed", Some(Critical)),
        ("2024-01-01T12:00:00.123456Z 0 [Warning] [MY-010068] [Server] CA", Some(Warning)),
        ("E, [2024-01-01T12:00:00.123456 #123] ERROR -- : x", Some(Error)),
        ("I, [2024-01-01T12:00:00.123456 #123]  INFO -- : x", Some(Info)),
        ("info: Microsoft.Hosting.Lifetime[0]", Some(Info)),
        ("fail: Microsoft.EntityFrameworkCore[1]", Some(Error)),
        ("[12:00:00 INF] Starting", Some(Info)),
        ("[12:00:00 WRN] Slow", Some(Warning)),
        ("src/main.c:12:5: error: expected ';'", Some(Error)),
        ("src/main.c:12:5: warning: unused variable 'x' [-Wunused-variable]", Some(Warning)),
        ("src/main.c:12:5: note: declared here", None),
        ("main.c:1:10: fatal error: x.h: No such file or directory", Some(Critical)),
        ("ld: error: undefined symbol: x", Some(Error)),
        ("src/a.ts(1,2): error TS2304: Cannot find name 'x'.", Some(Error)),
        ("Program.cs(12,5): warning CS0168: The variable", Some(Warning)),
        ("fatal: not a git repository", Some(Critical)),
        ("make: *** [Makefile:2: all] Error 1", Some(Error)),
        ("make[2]: *** [Makefile:2: all] Error 1", Some(Error)),
        ("npm ERR! code ELIFECYCLE", Some(Error)),
        ("npm WARN deprecated x@1", Some(Warning)),
        ("npm error code E404", Some(Error)),
        ("npm warn deprecated x@1", Some(Warning)),
        ("Segmentation fault (core dumped)", Some(Critical)),
        ("Error: Cannot find module 'x'", Some(Error)),
        ("TypeError: x is not a function", Some(Error)),
        ("│ Error: Invalid provider configuration", Some(Error)),
        ("##[error]Process completed with exit code 1.", Some(Error)),
        ("##[warning]Node 16 is deprecated", Some(Warning)),
        ("::error file=app.js,line=1::Missing semicolon", Some(Error)),
        ("::warning::careful", Some(Warning)),
        ("*** WARNING ***", Some(Warning)),
        ("!! ERROR !!", Some(Error)),
        ("ERROR", Some(Error)),
        ("ERROR Failed to start", Some(Error)),
        ("❌ Error: it failed", Some(Error)),
        ("[error] x", Some(Error)),
        ("(INFO) x", Some(Info)),
        ("WARN  x", Some(Warning)),
    ]);
}

#[test]
fn json() {
    check(&[
        (r#"{"level":"error","msg":"x"}"#, Some(Error)),
        (r#"{"msg":"level is \"low\"","level":"warn"}"#, Some(Warning)),
        (r#"{"time":"2024","severity":"INFO","message":"x"}"#, Some(Info)),
        (r#"{"levelname": "CRITICAL", "message": "x"}"#, Some(Critical)),
        (r#"{"log.level": "debug"}"#, Some(Debug)),
        (r#"{ "level" : 50 , "msg": "pino"}"#, Some(Error)),
        (r#"{"level":30,"time":1,"pid":1}"#, Some(Info)),
        (r#"{"level":3,"short_message":"GELF"}"#, Some(Error)),
        (r#"{"levelno":20}"#, Some(Info)),
        (r#"{"severityNumber":17}"#, Some(Error)),
        (r#"{"@t":"2024","@l":"Warning"}"#, Some(Warning)),
        (r#"{"a":{"level":"error"}}"#, None),
        (r#"{"a":["level","error"]}"#, None),
        (r#"{"a":"level","b":"error"}"#, None),
        (r#"{"level":null}"#, None),
        (r#"{"level":"beginner"}"#, None),
        (r#"{"level":1000}"#, None),
        (r#"{"level":"#, None),
        (r#"{"level""#, None),
        (r#"{"level":""#, None),
        ("{", None),
        (r#"{"loss":0.1,"step":1}"#, None),
    ]);
    let late = format!(r#"{{"message":"{}","level":"error"}}"#, "x".repeat(1000));
    assert_eq!(detect(late.as_bytes()), Some(Error));
}

#[test]
fn prose_has_no_level() {
    let lines = [
        "",
        " ",
        "no errors",
        "0 errors, 0 warnings",
        "3 ERROR lines found",
        "error_count=0",
        "errors: 0",
        "error: 0",
        "Error: 0.0123",
        "error: 5.2%",
        "val_error: 0.3",
        "MeanSquaredError: 0.123",
        "debug: true",
        "verbose: False",
        "info: null",
        "information about the run",
        "Information about errors",
        "this is an error: really",
        "Validation Error: 0.12",
        "Found ERROR in file",
        "found [error] in the log",
        "we raise ValueError: bad if it is",
        "warning signs were seen",
        "Error handling is enabled",
        "Errors were found",
        "critical path length 4",
        "epoch 12: loss 0.123 error 0.1",
        "Epoch 1/10 [=====>....] - loss: 0.5 - error: 0.3",
        "step 100 | loss 0.1 | error 0.2",
        "100%|██████████| 10/10 [00:01<00:00,  9.99it/s]",
        "  File \"x.py\", line 12, in <module>",
        "    raise ValueError(\"x\")",
        "\tat com.foo.Bar.baz(Bar.java:12)",
        "Caused by: java.io.IOException: x",
        "https://example.com/error: x",
        "ERROR_COUNT=3",
        "ERRORS",
        "DEBUG=1",
        "INFO-1",
        "- ERROR handling was improved",
        "# Error handling",
        "$ echo ERROR",
        "+ echo ERROR",
        "\"ERROR\": 3",
        "'error': x",
        "<error>text</error>",
        "{error: x}",
        "drwxr-xr-x 2 root root 4096 Jan  1 12:00 error",
        "-rw-r--r-- 1 root root 4096 Jan  1 12:00 ERROR",
        "12:00:00 Running with dbt=1.7",
        "2024-01-01 12:00:00.123 [123/start/1 (pid 12)] Task is starting.",
        "2024-01-01 no errors found",
        "2024-01-01 12:00:00 found one error: x",
        "GET /error HTTP/1.1",
        "E   assert 1 == 2",
        "E 12",
        "I am here",
        "W 3",
        "[E] x",
        "FAILED tests/test_x.py::test_y - ValueError: x",
        "test result: FAILED. 1 passed; 1 failed",
        "CUDA error: out of memory",
        "Loading model: error-correction",
        "note: run with `RUST_BACKTRACE=1`",
        "..........",
        "=========",
        "----------------",
        "\x1b[32m✓\x1b[0m no errors",
        "\0\0\0\0",
        "\x1b",
        "\x1b[",
        "fatal",
        "error",
        "[",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "::",
        "a=",
        "a=b",
        "=",
        "x=1 y=2 level=high",
        "log level=debug is on",
        "<8>x",
        "<",
        "make: Nothing to be done for 'all'.",
        "thread 'main' started",
    ];
    let table: Vec<_> = lines.iter().map(|line| (*line, None)).collect();
    check(&table);
}

#[test]
fn words() {
    all(Error, &["[ERROR] x", "[Error] x", "ERR: x", "ERROR | x"]);
    all(Info, &["Info: x", "NOTICE: x", "INFO: x", "[info] x"]);
    all(Critical, &["FATAL: x", "Fatal: x", "[CRITICAL] x", "PANIC: x", "EMERGENCY: x"]);
    all(Trace, &["TRACE: x", "trace: x"]);
    all(Debug, &["[debug] x", "DEBUG x", "dbg: x"]);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_looked_at_safely(text: Vec<u8>) {
        detect(&text);
        crate::line::json::lift(&text);
    }

    #[test]
    fn nothing_behind_the_prefix_matters(text in "[\\[\\]A-Z:a-z0-9 |,.=\"{}-]{128,300}") {
        if !text.starts_with('{') {
            proptest::prop_assert_eq!(detect(text.as_bytes()), detect(&text.as_bytes()[..PREFIX]));
        }
    }
}

//! The orchestrators and CI systems whose variables steplog knows without being told.
//!
//! One row a system, most specific first: an Airflow task that runs inside a GitHub job is an
//! Airflow task. A row applies only where its marker is set, because some systems use names that
//! mean nothing by themselves (`JOB_NAME`, `BUILD_ID`). Attribute names are OpenTelemetry's
//! semantic conventions (`cicd.*`, `vcs.*`, `k8s.*`) where they have one.

use std::collections::BTreeMap;

/// One system.
#[derive(Debug)]
pub struct Preset {
    /// What people call it.
    pub name: &'static str,
    /// Value of `cicd.system`; `None` for what only adds attributes.
    pub system: Option<&'static str>,
    /// The row applies if one of these is set and not empty.
    pub markers: &'static [&'static str],
    /// Variables that name the run.
    pub pipeline_run_id: &'static [&'static str],
    /// Variables that name the step.
    pub step_id: &'static [&'static str],
    /// Variables that count tries.
    pub attempt: &'static [&'static str],
    /// Variable, attribute.
    pub attributes: &'static [(&'static str, &'static str)],
}

impl Preset {
    /// Whether `env` is that of this system.
    pub fn present(&self, env: &BTreeMap<String, String>) -> bool {
        self.markers.iter().any(|name| env.get(*name).is_some_and(|value| !value.trim().is_empty()))
    }
}

/// Counters of tries that start at 0.
const FROM_ZERO: &[&str] =
    &["MF_ATTEMPT", "METAFLOW_RETRY_COUNT", "BUILDKITE_RETRY_COUNT", "TEKTON_TASK_RETRY_COUNT"];

/// Whether this counter of tries starts at 0.
pub(super) fn counts_from_zero(variable: &str) -> bool {
    FROM_ZERO.contains(&variable)
}

/// Whether a variable may be looked at: the user's own always, a preset's where that system is.
pub(super) fn applies(variable: &str, env: &BTreeMap<String, String>) -> bool {
    let mut owners = PRESETS
        .iter()
        .filter(|preset| {
            [preset.pipeline_run_id, preset.step_id, preset.attempt]
                .iter()
                .any(|names| names.contains(&variable))
        })
        .peekable();
    owners.peek().is_none() || owners.any(|preset| preset.present(env))
}

/// Metaflow names a task by a path, `flow/run/step/task`: the part that is not the run's is the
/// step. Any other variable is taken whole.
pub(super) fn part_of<'a>(variable: &str, value: &'a str) -> Option<&'a str> {
    (variable == "MF_PATHSPEC").then(|| value.split('/').nth(2)).flatten()
}

/// Every system, most specific first.
pub static PRESETS: &[Preset] = &[
    Preset {
        name: "ZenML",
        system: Some("zenml"),
        markers: &[
            "ZENML_PIPELINE_RUN_ID",
            "ZENML_STEP_RUN_ID",
            "ZENML_KUBERNETES_RUN_ID",
            "ZENML_DOCKER_ORCHESTRATOR_RUN_ID",
            "ZENML_SKYPILOT_ORCHESTRATOR_RUN_ID",
            "ZENML_DATABRICKS_ORCHESTRATOR_RUN_ID",
            "ZENML_MODAL_ORCHESTRATOR_RUN_ID",
            "ZENML_LIGHTNING_ORCHESTRATOR_RUN_ID",
        ],
        pipeline_run_id: &[
            "ZENML_PIPELINE_RUN_ID",
            "ZENML_KUBERNETES_RUN_ID",
            "ZENML_DOCKER_ORCHESTRATOR_RUN_ID",
            "ZENML_SKYPILOT_ORCHESTRATOR_RUN_ID",
            "ZENML_DATABRICKS_ORCHESTRATOR_RUN_ID",
            "ZENML_MODAL_ORCHESTRATOR_RUN_ID",
            "ZENML_LIGHTNING_ORCHESTRATOR_RUN_ID",
        ],
        step_id: &["ZENML_STEP_RUN_ID", "ZENML_STEP_NAME"],
        attempt: &[],
        attributes: &[
            ("ZENML_PIPELINE_NAME", "cicd.pipeline.name"),
            ("ZENML_STEP_NAME", "cicd.pipeline.task.name"),
            ("ZENML_ACTIVE_STACK_ID", "zenml.stack.id"),
            ("ZENML_ACTIVE_PROJECT_ID", "zenml.project.id"),
        ],
    },
    Preset {
        name: "Metaflow",
        system: Some("metaflow"),
        markers: &["METAFLOW_RUN_ID", "MF_PATHSPEC"],
        pipeline_run_id: &["METAFLOW_RUN_ID"],
        step_id: &["METAFLOW_STEP_NAME", "MF_PATHSPEC"],
        attempt: &["METAFLOW_RETRY_COUNT", "MF_ATTEMPT"],
        attributes: &[
            ("METAFLOW_FLOW_NAME", "cicd.pipeline.name"),
            ("METAFLOW_TASK_ID", "cicd.pipeline.task.run.id"),
            ("MF_PATHSPEC", "metaflow.pathspec"),
        ],
    },
    Preset {
        name: "Dagster",
        system: Some("dagster"),
        markers: &["DAGSTER_RUN_ID", "DAGSTER_RUN_JOB_NAME"],
        pipeline_run_id: &["DAGSTER_RUN_ID"],
        step_id: &["DAGSTER_RUN_STEP_KEY"],
        attempt: &[],
        attributes: &[
            ("DAGSTER_RUN_JOB_NAME", "cicd.pipeline.name"),
            ("DAGSTER_RUN_STEP_KEY", "cicd.pipeline.task.name"),
        ],
    },
    Preset {
        name: "Prefect",
        system: Some("prefect"),
        markers: &["PREFECT__FLOW_RUN_ID"],
        pipeline_run_id: &["PREFECT__FLOW_RUN_ID"],
        step_id: &[],
        attempt: &[],
        attributes: &[
            ("PREFECT__FLOW_ID", "cicd.pipeline.id"),
            ("PREFECT__WORKER_NAME", "cicd.worker.name"),
        ],
    },
    Preset {
        name: "Airflow",
        system: Some("airflow"),
        markers: &["AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_DAG_ID"],
        pipeline_run_id: &["AIRFLOW_CTX_DAG_RUN_ID"],
        step_id: &["AIRFLOW_CTX_TASK_ID"],
        attempt: &["AIRFLOW_CTX_TRY_NUMBER"],
        attributes: &[
            ("AIRFLOW_CTX_DAG_ID", "cicd.pipeline.name"),
            ("AIRFLOW_CTX_TASK_ID", "cicd.pipeline.task.name"),
            ("AIRFLOW_CTX_LOGICAL_DATE", "airflow.logical_date"),
            ("AIRFLOW_CTX_EXECUTION_DATE", "airflow.logical_date"),
        ],
    },
    Preset {
        name: "Kubeflow",
        system: Some("kubeflow"),
        markers: &["KFP_RUN_ID", "KFP_POD_NAME"],
        pipeline_run_id: &["KFP_RUN_ID"],
        step_id: &["KFP_POD_NAME"],
        attempt: &[],
        attributes: &[
            ("KFP_PIPELINE_NAME", "cicd.pipeline.name"),
            ("KFP_POD_NAME", "k8s.pod.name"),
            ("KFP_POD_UID", "k8s.pod.uid"),
        ],
    },
    Preset {
        name: "Argo Workflows",
        system: Some("argo"),
        markers: &["ARGO_WORKFLOW_UID", "ARGO_WORKFLOW_NAME", "ARGO_NODE_ID"],
        pipeline_run_id: &["ARGO_WORKFLOW_UID", "ARGO_WORKFLOW_NAME"],
        step_id: &["ARGO_NODE_ID"],
        attempt: &[],
        attributes: &[
            ("ARGO_WORKFLOW_NAME", "cicd.pipeline.run.name"),
            ("ARGO_POD_NAME", "k8s.pod.name"),
            ("ARGO_POD_UID", "k8s.pod.uid"),
            ("ARGO_CONTAINER_NAME", "k8s.container.name"),
        ],
    },
    Preset {
        // Tekton sets no variables itself; these are filled from its `$(context.…)` substitutions.
        name: "Tekton",
        system: Some("tekton"),
        markers: &["TEKTON_PIPELINE_RUN", "TEKTON_TASK_RUN"],
        pipeline_run_id: &["TEKTON_PIPELINE_RUN_UID", "TEKTON_PIPELINE_RUN", "TEKTON_TASK_RUN"],
        step_id: &["TEKTON_TASK_RUN"],
        attempt: &["TEKTON_TASK_RETRY_COUNT"],
        attributes: &[
            ("TEKTON_PIPELINE", "cicd.pipeline.name"),
            ("TEKTON_TASK", "cicd.pipeline.task.name"),
        ],
    },
    Preset {
        name: "GitHub Actions",
        system: Some("github_actions"),
        markers: &["GITHUB_ACTIONS", "GITHUB_RUN_ID"],
        pipeline_run_id: &["GITHUB_RUN_ID"],
        step_id: &["GITHUB_JOB"],
        attempt: &["GITHUB_RUN_ATTEMPT"],
        attributes: &[
            ("GITHUB_WORKFLOW", "cicd.pipeline.name"),
            ("GITHUB_JOB", "cicd.pipeline.task.name"),
            ("GITHUB_ACTION", "github.action"),
            ("GITHUB_RUN_NUMBER", "github.run_number"),
            ("GITHUB_ACTOR", "github.actor"),
            ("GITHUB_SHA", "vcs.ref.head.revision"),
            ("GITHUB_REF_NAME", "vcs.ref.head.name"),
            ("GITHUB_REPOSITORY", "vcs.repository.name"),
            ("RUNNER_NAME", "cicd.worker.name"),
        ],
    },
    Preset {
        name: "GitLab CI",
        system: Some("gitlab_ci"),
        markers: &["GITLAB_CI", "CI_PIPELINE_ID"],
        pipeline_run_id: &["CI_PIPELINE_ID"],
        step_id: &["CI_JOB_NAME", "CI_JOB_ID"],
        attempt: &[],
        attributes: &[
            ("CI_PIPELINE_NAME", "cicd.pipeline.name"),
            ("CI_PIPELINE_URL", "cicd.pipeline.run.url.full"),
            ("CI_JOB_NAME", "cicd.pipeline.task.name"),
            ("CI_JOB_ID", "cicd.pipeline.task.run.id"),
            ("CI_JOB_URL", "cicd.pipeline.task.run.url.full"),
            ("CI_COMMIT_SHA", "vcs.ref.head.revision"),
            ("CI_COMMIT_REF_NAME", "vcs.ref.head.name"),
            ("CI_PROJECT_PATH", "vcs.repository.name"),
            ("CI_PROJECT_URL", "vcs.repository.url.full"),
            ("CI_RUNNER_ID", "cicd.worker.id"),
        ],
    },
    Preset {
        name: "Buildkite",
        system: Some("buildkite"),
        markers: &["BUILDKITE", "BUILDKITE_BUILD_ID"],
        pipeline_run_id: &["BUILDKITE_BUILD_ID"],
        step_id: &["BUILDKITE_STEP_KEY", "BUILDKITE_LABEL", "BUILDKITE_JOB_ID"],
        attempt: &["BUILDKITE_RETRY_COUNT"],
        attributes: &[
            ("BUILDKITE_PIPELINE_SLUG", "cicd.pipeline.name"),
            ("BUILDKITE_BUILD_URL", "cicd.pipeline.run.url.full"),
            ("BUILDKITE_BUILD_NUMBER", "buildkite.build_number"),
            ("BUILDKITE_LABEL", "cicd.pipeline.task.name"),
            ("BUILDKITE_JOB_ID", "cicd.pipeline.task.run.id"),
            ("BUILDKITE_COMMIT", "vcs.ref.head.revision"),
            ("BUILDKITE_BRANCH", "vcs.ref.head.name"),
            ("BUILDKITE_AGENT_NAME", "cicd.worker.name"),
        ],
    },
    Preset {
        name: "Azure Pipelines",
        system: Some("azure_pipelines"),
        markers: &["TF_BUILD", "BUILD_BUILDID"],
        pipeline_run_id: &["BUILD_BUILDID"],
        step_id: &["SYSTEM_JOBNAME", "SYSTEM_JOBID"],
        attempt: &["SYSTEM_JOBATTEMPT"],
        attributes: &[
            ("BUILD_DEFINITIONNAME", "cicd.pipeline.name"),
            ("BUILD_BUILDNUMBER", "azure_pipelines.build_number"),
            ("SYSTEM_STAGENAME", "azure_pipelines.stage"),
            ("SYSTEM_JOBDISPLAYNAME", "cicd.pipeline.task.name"),
            ("SYSTEM_JOBID", "cicd.pipeline.task.run.id"),
            ("SYSTEM_TEAMPROJECT", "azure_pipelines.project"),
            ("BUILD_SOURCEVERSION", "vcs.ref.head.revision"),
            ("BUILD_SOURCEBRANCHNAME", "vcs.ref.head.name"),
            ("BUILD_REPOSITORY_NAME", "vcs.repository.name"),
            ("AGENT_NAME", "cicd.worker.name"),
        ],
    },
    Preset {
        name: "Jenkins",
        system: Some("jenkins"),
        markers: &["JENKINS_URL", "JENKINS_HOME"],
        pipeline_run_id: &["BUILD_TAG"],
        step_id: &["STAGE_NAME", "JOB_NAME"],
        attempt: &[],
        attributes: &[
            ("JOB_NAME", "cicd.pipeline.name"),
            ("BUILD_URL", "cicd.pipeline.run.url.full"),
            ("BUILD_NUMBER", "jenkins.build_number"),
            ("STAGE_NAME", "cicd.pipeline.task.name"),
            ("GIT_COMMIT", "vcs.ref.head.revision"),
            ("GIT_BRANCH", "vcs.ref.head.name"),
            ("NODE_NAME", "cicd.worker.name"),
        ],
    },
    Preset {
        // The downward API has no fixed names; these are the ones its documentation and charts use.
        name: "Kubernetes",
        system: None,
        markers: &["KUBERNETES_SERVICE_HOST", "K8S_POD_NAME", "MY_POD_NAME"],
        pipeline_run_id: &[],
        step_id: &[],
        attempt: &[],
        attributes: &[
            ("K8S_POD_NAME", "k8s.pod.name"),
            ("POD_NAME", "k8s.pod.name"),
            ("MY_POD_NAME", "k8s.pod.name"),
            ("K8S_POD_UID", "k8s.pod.uid"),
            ("POD_UID", "k8s.pod.uid"),
            ("MY_POD_UID", "k8s.pod.uid"),
            ("K8S_NAMESPACE", "k8s.namespace.name"),
            ("POD_NAMESPACE", "k8s.namespace.name"),
            ("MY_POD_NAMESPACE", "k8s.namespace.name"),
            ("K8S_NODE_NAME", "k8s.node.name"),
            ("NODE_NAME", "k8s.node.name"),
            ("MY_NODE_NAME", "k8s.node.name"),
            ("POD_IP", "k8s.pod.ip"),
            ("MY_POD_IP", "k8s.pod.ip"),
            ("K8S_CONTAINER_NAME", "k8s.container.name"),
            ("CONTAINER_NAME", "k8s.container.name"),
        ],
    },
];

#[cfg(test)]
mod tests {
    use super::super::tests::env;
    use super::super::{Table, resolve};
    use super::*;

    /// The variables that each system sets, and what must come of them.
    #[test]
    fn systems() {
        struct Row {
            env: &'static [(&'static str, &'static str)],
            run: Option<&'static str>,
            step: Option<&'static str>,
            attempt: Option<u32>,
            attribute: (&'static str, &'static str),
        }
        let rows = [
            Row {
                env: &[("ZENML_PIPELINE_RUN_ID", "run"), ("ZENML_STEP_RUN_ID", "step")],
                run: Some("run"),
                step: Some("step"),
                attempt: None,
                attribute: ("cicd.system", "zenml"),
            },
            Row {
                env: &[("ZENML_KUBERNETES_RUN_ID", "k"), ("ZENML_STEP_NAME", "trainer")],
                run: Some("k"),
                step: Some("trainer"),
                attempt: None,
                attribute: ("cicd.pipeline.task.name", "trainer"),
            },
            Row {
                env: &[
                    ("METAFLOW_RUN_ID", "17"),
                    ("MF_PATHSPEC", "Flow/17/start/3"),
                    ("MF_ATTEMPT", "0"),
                ],
                run: Some("17"),
                step: Some("start"),
                attempt: Some(1),
                attribute: ("metaflow.pathspec", "Flow/17/start/3"),
            },
            Row {
                env: &[
                    ("DAGSTER_RUN_ID", "d"),
                    ("DAGSTER_RUN_STEP_KEY", "load"),
                    ("DAGSTER_RUN_JOB_NAME", "etl"),
                ],
                run: Some("d"),
                step: Some("load"),
                attempt: None,
                attribute: ("cicd.pipeline.name", "etl"),
            },
            Row {
                env: &[("PREFECT__FLOW_RUN_ID", "p"), ("PREFECT__WORKER_NAME", "w")],
                run: Some("p"),
                step: None,
                attempt: None,
                attribute: ("cicd.worker.name", "w"),
            },
            Row {
                env: &[
                    ("AIRFLOW_CTX_DAG_ID", "dag"),
                    ("AIRFLOW_CTX_DAG_RUN_ID", "manual__2026"),
                    ("AIRFLOW_CTX_TASK_ID", "task"),
                    ("AIRFLOW_CTX_TRY_NUMBER", "2"),
                ],
                run: Some("manual__2026"),
                step: Some("task"),
                attempt: Some(2),
                attribute: ("cicd.pipeline.name", "dag"),
            },
            Row {
                env: &[("KFP_RUN_ID", "kfp"), ("KFP_POD_NAME", "pod-1")],
                run: Some("kfp"),
                step: Some("pod-1"),
                attempt: None,
                attribute: ("k8s.pod.name", "pod-1"),
            },
            Row {
                env: &[
                    ("ARGO_WORKFLOW_UID", "uid"),
                    ("ARGO_WORKFLOW_NAME", "flow-x"),
                    ("ARGO_NODE_ID", "flow-x-123"),
                ],
                run: Some("uid"),
                step: Some("flow-x-123"),
                attempt: None,
                attribute: ("cicd.pipeline.run.name", "flow-x"),
            },
            Row {
                env: &[("TEKTON_PIPELINE_RUN", "pr"), ("TEKTON_TASK_RUN", "tr")],
                run: Some("pr"),
                step: Some("tr"),
                attempt: None,
                attribute: ("cicd.system", "tekton"),
            },
            Row {
                env: &[
                    ("GITHUB_ACTIONS", "true"),
                    ("GITHUB_RUN_ID", "99"),
                    ("GITHUB_RUN_ATTEMPT", "2"),
                    ("GITHUB_JOB", "build"),
                    ("GITHUB_SHA", "abc"),
                ],
                run: Some("99"),
                step: Some("build"),
                attempt: Some(2),
                attribute: ("vcs.ref.head.revision", "abc"),
            },
            Row {
                env: &[
                    ("GITLAB_CI", "true"),
                    ("CI_PIPELINE_ID", "5"),
                    ("CI_JOB_NAME", "test"),
                    ("CI_PROJECT_URL", "https://gitlab-ci-token:secret@gitlab.example/x"),
                ],
                run: Some("5"),
                step: Some("test"),
                attempt: None,
                attribute: ("vcs.repository.url.full", "https://gitlab.example/x"),
            },
            Row {
                env: &[
                    ("BUILDKITE", "true"),
                    ("BUILDKITE_BUILD_ID", "b"),
                    ("BUILDKITE_STEP_KEY", "lint"),
                    ("BUILDKITE_RETRY_COUNT", "1"),
                ],
                run: Some("b"),
                step: Some("lint"),
                attempt: Some(2),
                attribute: ("cicd.system", "buildkite"),
            },
            Row {
                env: &[
                    ("TF_BUILD", "True"),
                    ("BUILD_BUILDID", "7"),
                    ("SYSTEM_JOBNAME", "job"),
                    ("SYSTEM_JOBATTEMPT", "1"),
                ],
                run: Some("7"),
                step: Some("job"),
                attempt: Some(1),
                attribute: ("cicd.system", "azure_pipelines"),
            },
            Row {
                env: &[
                    ("JENKINS_URL", "http://j/"),
                    ("BUILD_TAG", "jenkins-x-4"),
                    ("JOB_NAME", "x"),
                    ("STAGE_NAME", "Test"),
                ],
                run: Some("jenkins-x-4"),
                step: Some("Test"),
                attempt: None,
                attribute: ("cicd.pipeline.name", "x"),
            },
            Row {
                env: &[("KUBERNETES_SERVICE_HOST", "10.0.0.1"), ("POD_NAME", "p-0")],
                run: None,
                step: None,
                attempt: None,
                attribute: ("k8s.pod.name", "p-0"),
            },
        ];
        for row in rows {
            let resolved = resolve(&Table::default(), &env(row.env));
            assert_eq!(resolved.pipeline_run_id.as_deref(), row.run, "{:?}", row.env);
            assert_eq!(resolved.step_id.as_deref(), row.step, "{:?}", row.env);
            assert_eq!(resolved.attempt, row.attempt, "{:?}", row.env);
            let (name, value) = row.attribute;
            assert_eq!(resolved.attributes.get(name).map(String::as_str), Some(value));
        }
    }

    #[test]
    fn common_names_mean_nothing_without_their_system() {
        let resolved = resolve(&Table::default(), &env(&[("JOB_NAME", "x"), ("BUILD_TAG", "y")]));
        assert_eq!(resolved, super::super::Resolved::default());
    }

    #[test]
    fn the_inner_system_wins() {
        let resolved = resolve(
            &Table::default(),
            &env(&[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_RUN_ID", "99"),
                ("GITHUB_JOB", "build"),
                ("AIRFLOW_CTX_DAG_RUN_ID", "r"),
                ("AIRFLOW_CTX_TASK_ID", "t"),
            ]),
        );
        assert_eq!(resolved.pipeline_run_id.as_deref(), Some("r"));
        assert_eq!(resolved.step_id.as_deref(), Some("t"));
        assert_eq!(resolved.attributes.get("cicd.system").map(String::as_str), Some("airflow"));
    }

    #[test]
    fn every_named_variable_belongs_to_one_system() {
        for preset in PRESETS {
            for name in preset.pipeline_run_id.iter().chain(preset.step_id).chain(preset.attempt) {
                let owners = PRESETS
                    .iter()
                    .filter(|other| {
                        [other.pipeline_run_id, other.step_id, other.attempt]
                            .iter()
                            .any(|names| names.contains(name))
                    })
                    .count();
                assert_eq!(owners, 1, "{name}");
            }
        }
    }
}

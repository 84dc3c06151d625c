// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <bpf/bpf.h>
#include "cpu.h"
#include "policy_workload.h"

struct workload *workload_start(const char *members, const char *folder)
{
	struct workload *workload = mmap(NULL, sizeof(*workload), PROT_READ | PROT_WRITE,
					 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int cpus = sysconf(_SC_NPROCESSORS_ONLN);
	char path[256];

	if (workload == MAP_FAILED)
		return NULL;
	for (int i = 0; i < WORKERS; i++) {
		struct worker *worker;
		int inherited;

		snprintf(path, sizeof(path), "%s/%d", folder, i);
		if (mkdir(path, 0700) || chdir(path))
			return NULL;
		inherited = open("inherited", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		worker = &workload->workers[i];
		worker->state = -1;
		worker->pid = fork();
		if (worker->pid == 0) {
			worker->pid = getpid();
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			use_cpu(i % cpus);
			worker_run(worker, &workload->wanted, members, inherited);
		}
		close(inherited);
	}
	workload_change(workload, WORKER_RUN);
	return workload;
}

void workload_change(struct workload *workload, enum worker_state state)
{
	workload->wanted = state;
	for (int i = 0; i < WORKERS; i++)
		while (workload->workers[i].state != (int)state)
			usleep(1000);
}

void workload_end(struct workload *workload, const char *members)
{
	int fd = bpf_obj_get(members);

	for (int i = 0; i < WORKERS; i++) {
		__u32 pid = workload->workers[i].pid;

		if (workload->workers[i].state != WORKER_EXIT)
			kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		bpf_map_delete_elem(fd, &pid);
	}
	close(fd);
}

struct workload_sum workload_sum(const struct workload *workload)
{
	struct workload_sum sum = {};

	for (int i = 0; i < WORKERS; i++) {
		const struct worker *worker = &workload->workers[i];

		sum.rounds += worker->rounds;
		sum.judged += worker->judged;
		sum.refused_wrongly += worker->refused_wrongly;
		sum.allowed_wrongly += worker->allowed_wrongly;
		sum.failed += worker->failed;
		if (worker->first_wrong && !sum.first_wrong) {
			sum.first_wrong = worker->first_wrong;
			sum.first_round = worker->first_round;
		}
	}
	return sum;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The protocol of README.md for one key, for SPIN: two CPUs handle an event each, a
 * writer makes a system call, the mover may be killed and resumed once, and there may
 * be no room once, for the element or for its owner. A value is the number of the
 * operation that wrote it, 0: no element. With REPLACE, the new version takes the place
 * of the old one in a single step; with CALLS, it does so before the switch, and calls
 * the old one until then. The script `check` runs this and its mutants, each of which
 * leaves something out.
 */
#define FIRST 1		/* the "operation" that wrote the first content */
#define WRITER 2	/* among the processes; CPUs are 0 and 1 */
#define bit(op) (1 << (op))

mtype = { NONE, WATCHING, SWITCHED, SETTLED, DONE, READ, UPDATE, CREATE, DELETE, WRITE, IGNORE };

mtype phase = NONE;
byte O = FIRST, N;
bool lock, owned, frozen, writing, gate, replacing, attached_new, attached_old = true;
bool in_program[3], in_call[2];		/* RCU and RCU Tasks wait for these ... */
bool rcu[3], tasks[2];			/* ... until they have ended */
bool kill = true, scarce = true;
byte ended;

/*
 * Operations that succeeded, and those that another one followed in real time. Between
 * an announcement by upgrade_before_write() or upgrade_claim() and the change itself,
 * reads can miss what the old version still does.
 */
byte done = bit(FIRST), followed, deletions, before[5], announced;
#define possible(v, past) ((v && !((past) & bit(v))) || (!v && (deletions & ~(past))))

inline succeed(op)	{ done = done | bit(op); followed = followed | before[op] }

inline leave(i)		{ in_program[i] = false; rcu[i] = false }
inline wait_for_programs()
{
	d_step { rcu[0] = in_program[0]; rcu[1] = in_program[1]; rcu[2] = in_program[2] };
	(!rcu[0] && !rcu[1] && !rcu[2])
}
inline wait_for_calls()
{
	d_step { tasks[0] = in_call[0]; tasks[1] = in_call[1] };
	(!tasks[0] && !tasks[1])
}

inline take()		{ atomic { !lock -> lock = true } }
inline drop()		{ lock = false }

/* Bring N in line with O, not in one step; N may be full. */
inline sync()
{
	ok = true;
	if
	:: !owned ->
		v = O;
		if
		:: N = v
		:: atomic { scarce && v && !N -> scarce = false; ok = false }
		fi
	:: else
	fi
}

/* What the map itself does for an operation. */
inline change(map)
{
	atomic {
		ok = !(kind == DELETE && !map) && !(kind == CREATE && map);
		if
		:: ok && kind == DELETE -> map = 0; deletions = deletions | bit(op)
		:: ok && kind != DELETE -> map = op
		:: else
		fi
	}
}

/* upgrade_do(), and for READ and WRITE what the program does then. */
inline new_program()
{
	now = phase;
	if
	:: now == SWITCHED || (now == SETTLED && kind != READ) ->
		if :: !NO_LOCK -> take() :: else fi;
		ok = true;
		if :: now == SWITCHED && !NO_REFRESH -> sync() :: else fi;
		atomic {
			room = ok;
			if
			:: kind != READ && ok && !owned && scarce ->
				scarce = false; room = false; ok = NO_RESERVE
			:: true
			fi;
			if
			:: !ok -> owned = owned || OWN_UNCOPIED
			:: ok && kind == WRITE -> owned = owned || (room && !NO_OWNER); announced++
			:: ok && kind != WRITE && kind != READ ->
				change(N);
				owned = owned || ((ok || OWN_FAILED) && room && !NO_OWNER)
			:: else
			fi
		};
		if :: !NO_LOCK -> drop() :: else fi;
		if
		:: ok && kind == WRITE -> atomic { change(N); announced-- }
		:: ok && kind == READ -> assert(possible(N, past) || announced)
		:: else
		fi
	:: else ->
		if :: kind == READ -> assert(possible(N, past) || announced) :: else -> change(N) fi
	fi
}

#define BESIDE (!REPLACE && !CALLS)
#define calls_old (!runs_new || (!handled && !NO_CALL))
#define runs_old (BESIDE -> attached_old : (REPLACE -> !runs_new : calls_old))

inline event(number)
{
	atomic {
		op = number;
		if
		:: kind = DELETE
		:: id == 0 -> kind = CREATE :: id == 0 -> kind = WRITE
		:: id == 0 -> kind = IGNORE	/* but the old version would record it */
		:: id == 1 -> kind = UPDATE :: id == 1 -> kind = READ
		fi;
		before[op] = done; past = followed; in_call[id] = true; runs_new = attached_new;
		in_program[id] = !BESIDE	/* who looks up which one to run is a reader */
	};
	if
	:: d_step { runs_new -> in_program[id] = true; handled = phase != WATCHING };
		if :: handled && kind != IGNORE -> new_program() :: else fi;
		d_step {
			result = handled && ok; v = 0; ok = false; room = false; now = 0;
			if :: CALLS && !handled :: else -> leave(id) fi
		}
	:: !runs_new
	fi;
	/*
	 * Here a task can be preempted, and is no RCU reader, even if it is about to be one:
	 * detaching the program does not stop it any more.
	 */
	if
	:: runs_old ->
		in_program[id] = true;
		d_step {
			if
			:: kind != READ && !(handled && gate) -> change(O)
			:: else
			fi;
			result = (handled -> result : ok);
			handled = true; ok = false;
			leave(id)
		}
	:: d_step { !runs_old -> leave(id) }
	fi;
	d_step {
		assert(handled);
		if :: result && kind != READ -> succeed(op) :: else fi;
		in_call[id] = false; tasks[id] = false; ended++; past = 0; op = 0; kind = 0
	}
}

proctype Cpu(byte id)
{
	byte op, v, past;
	mtype kind, now;
	bool ok, room, runs_new, handled, result;

	event(2 + id)
}

#define refused(v) ((v == NONE && !CLAIM_ANY) || v == WATCHING || (replacing && !CLAIM_EARLY))

/* It finds out by an error that the old map is frozen, and does not wait for anybody. */
proctype Writer()
{
	byte v;
	bool ok = true;

	before[4] = done;
again:
	if
	:: d_step { !frozen -> writing = true };
		O = 4;
		writing = false
	:: frozen ->
		take();		/* upgrade_claim() */
		d_step { in_program[WRITER] = true; v = phase };
		if
		:: refused(v) -> drop(); leave(WRITER); goto again
		:: !refused(v) && v != NONE && v != DONE && !NO_CLAIM ->
			if :: v == SWITCHED -> sync() :: else fi;
			if :: ok -> d_step { owned = true; announced++ } :: else fi
		:: else -> announced++
		fi;
		drop();
		leave(WRITER);
		if :: ok -> d_step { N = 4; announced-- } :: else fi
	fi;
	d_step {
		if :: ok -> succeed(4) :: else fi;
		ended++
	}
}

inline may_die()
{
	if :: atomic { kill -> kill = false }; goto resume :: true fi
}

proctype Mover()
{
	byte v;
	bool ok;

	/* An upgrade that was killed may have frozen it. */
	if :: d_step { !writing -> frozen = true } :: true fi;
	phase = WATCHING;
	if :: take(); sync(); drop() :: true fi;
	attached_new = !REPLACE;
	if :: !NO_FREEZE -> d_step { !writing -> frozen = true } :: else fi;
	gate = !NO_GATE && BESIDE;
	replacing = REPLACE;
	phase = SWITCHED;
	may_die();
	if :: !NO_TASKS && BESIDE -> wait_for_calls() :: else fi;
	goto take_over;
resume:
	phase = SWITCHED;
	if :: BESIDE -> wait_for_calls() :: else fi;
take_over:
	atomic { attached_new = true; attached_old = false };
	replacing = false;
	if :: !NO_GRACE && !NO_TASKS_AGAIN && BESIDE -> wait_for_calls() :: else fi;
	if :: !NO_GRACE -> wait_for_programs() :: else fi;
	gate = false;
finish:
	take(); sync(); v = 0; drop();
	if :: !ok && !GIVE_UP -> goto finish :: else fi;
	if :: !NO_SETTLE -> phase = SETTLED; wait_for_programs() :: else fi;
	take(); ok = owned || N == O || GIVE_UP; drop();
	may_die();
	if :: !ok -> phase = SWITCHED; goto finish :: else fi;
	if :: !NO_SETTLE -> wait_for_programs() :: else fi;
	phase = DONE;
	ended == 3;
	assert(possible(N, followed));
	/* Nothing is there that only the old version recorded, after the switch. */
	assert(!N || (done & bit(N)))
}

init { atomic { run Cpu(0); run Cpu(1); run Writer(); run Mover() } }

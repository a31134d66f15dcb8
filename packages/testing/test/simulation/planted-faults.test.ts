import {
  type Parts,
  ReplicationTracker,
  type Scenario,
  scenarios,
  simulate,
} from '@stowage/testing/simulation'
import { expect, test } from 'vitest'
import { type Change, mutantOf } from './mutant.ts'

const { batching, facade, generations, remember, tags, 'session-token': sessionToken } = scenarios

/** Loads without leases, which only the order of calls within their process protects. */
const withoutLeases: typeof remember = {
  ...remember,
  call: remember.call.map((call) => (call.op === 'remember' ? { ...call, lease: false } : call)),
}

/** A fix that is taken back, and the scenario that must notice. */
interface PlantedFault {
  readonly name: string
  readonly scenario: Scenario
  readonly changes?: readonly Change[]
  readonly parts?: Parts
  /** Shortly before the first finding, to save time. If that moves, it is found within 10,000 seeds. @default 0 */
  readonly firstSeed?: number
}

/** Lowers what is expected to what was expected when a copy was queried. */
class LoweringTracker extends ReplicationTracker {
  override update(copy: number, applied: number, expected: number): void {
    super.update(copy, applied, expected)
    if (applied >= expected) this.expectedWrites = expected
  }
}

const faults: readonly PlantedFault[] = [
  {
    name: 'the value of a load is stored without comparing the lease',
    scenario: remember as Scenario,
    changes: [
      [
        'index.js',
        'for (const item of this.#items) if (await this.#store.compareAndSet(this.#key, item, next, ttl)) return true;',
        'if (next !== void 0) return this.#store.set(this.#key, next, ttl).then(() => true);',
      ],
    ],
  },
  {
    name: 'a refreshed value is stored without comparing the stale one',
    scenario: remember as Scenario,
    changes: [
      [
        'index.js',
        'const isReplaced = await store.compareAndSet(key, seen, item, ttl);',
        'await store.set(key, item, ttl);\n\t\tconst isReplaced = true;',
      ],
    ],
  },
  {
    name: 'a lease is renewed by touch, which extends the ttl of what replaced it',
    scenario: remember as Scenario,
    changes: [
      [
        'index.js',
        'if (!await this.#store.compareAndSet(this.#key, item, next, this.#ms)) continue;\n\t\t\t\tthis.#items = [next];\n\t\t\t\treturn true;',
        'this.#items = candidates;\n\t\t\t\treturn await this.#store.touch(this.#key, this.#ms);',
      ],
    ],
  },
  {
    name: 'an abandoned lease is taken over by set',
    scenario: remember as Scenario,
    firstSeed: 800,
    changes: [
      [
        'index.js',
        ': this.#store.compareAndSet(this.#key, seen, item, this.#ms);',
        ': this.#store.set(this.#key, item, this.#ms).then(() => true);',
      ],
    ],
  },
  {
    name: 'a call waits too short for the lease of another process',
    scenario: remember as Scenario,
    changes: [['index.js', '>= lease.ms)', '>= lease.ms / 100)']],
  },
  {
    name: 'a load does not need the lease',
    scenario: remember as Scenario,
    changes: [
      [
        'index.js',
        'return seen === void 0 ? this.#store.add(',
        'return true;\n\t\treturn seen === void 0 ? this.#store.add(',
      ],
    ],
  },
  {
    name: 'a call that joins a load always accepts its value',
    scenario: remember as Scenario,
    changes: [['index.js', 'if (receives(result)) return', 'if (true) return']],
  },
  {
    name: 'two flights of a process wait for each other',
    scenario: remember as Scenario,
    firstSeed: 2100,
    changes: [
      ['index.js', 'const holder = leaseHolders.get(lease.id);', 'const holder = void 0;'],
      [
        'index.js',
        'const holder = job.scope.leaseHolders.get(lease.id);',
        'const holder = void 0;',
      ],
    ],
  },
  {
    name: 'a failure is not spread to other processes',
    scenario: remember as Scenario,
    firstSeed: 2000,
    changes: [
      [
        'index.js',
        'if (mark?.kind === "F") throw loadFailedLately(job);',
        'if (mark?.kind === "F") return loadUnkept(flight, job, found);',
      ],
    ],
  },
  {
    name: 'a stale value is returned after a failure, although it was deleted',
    scenario: remember as Scenario,
    firstSeed: 1300,
    changes: [
      [
        'index.js',
        'found.staleMs >= window) return void 0;\n\treturn {\n\t\titem: found.item,\n\t\tsource: "read",\n\t\taudience: "beforeRead"',
        'found.staleMs >= window) return void 0;\n\treturn {\n\t\titem: found.item,\n\t\tsource: "read",\n\t\taudience: "all"',
      ],
    ],
  },
  {
    name: 'an item outlives its stale window',
    scenario: remember as Scenario,
    changes: [
      [
        'index.js',
        'ttl === void 0 ? void 0 : ttl + staleWindow)',
        'ttl === void 0 ? void 0 : ttl + 2 * staleWindow)',
      ],
    ],
  },
  {
    name: 'the versions of tags are read after the load',
    scenario: tags as Scenario,
    changes: [
      [
        'index.js',
        'const known = [...tags].filter((tag) => versions.get(tag) !== void 0);',
        'versions = await root.tags.create(await root.tags.read([...tags], strongRead$3));\n\tconst known = [...tags];',
      ],
    ],
  },
  {
    name: 'late tags are kept without comparing times',
    scenario: tags as Scenario,
    changes: [['index.js', '>= loadBegan - clockUncertainty) return', '>= Infinity) return']],
  },
  {
    name: 'a late tag takes the version that an invalidation has created',
    scenario: tags as Scenario,
    firstSeed: 2750,
    changes: [
      ['index.js', 'await root.tags.createLate(existing)', 'await root.tags.create(existing)'],
    ],
  },
  {
    name: 'an invalidation deletes the version of the tag',
    scenario: tags as Scenario,
    changes: [
      [
        'index.js',
        'const read = async () => this.#store.get(key,',
        'return void (await this.#store.delete(key));\n\t\tconst read = async () => this.#store.get(key,',
      ],
    ],
  },
  {
    name: 'an entry is stale only by the clock of its reader',
    scenario: tags as Scenario,
    changes: [['index.js', 'isStale ? Math.max(0, now - until) : now - until', 'now - until']],
  },
  {
    name: 'an invalidated value is offered to the loader, which confirms it',
    scenario: tags as Scenario,
    changes: [['index.js', 'entry: freshness === void 0 ? void 0 : entry,', 'entry,']],
  },
  {
    name: 'a delete overtakes the write of a loaded value',
    scenario: remember as Scenario,
    firstSeed: 1400,
    parts: { withKeyOrder: (store) => store },
  },
  {
    name: 'clear does not wait for loaded values that are being stored',
    scenario: withoutLeases as Scenario,
    changes: [['index.js', 'await this.#scope.awaitWriteBacks(prefix);', '']],
  },
  {
    name: 'a namespace that was forgotten has flights of its own',
    scenario: remember as Scenario,
    firstSeed: 1650,
    changes: [
      [
        'index.js',
        'flights: scope.flightsOf(codec),',
        'flights: (this.flights = new SingleFlight()),',
      ],
      ['index.js', 'this.#scope.invalidate(storageKey);', 'this.flights.invalidate(storageKey);'],
      [
        'index.js',
        'this.#scope.invalidateAll(prefix);',
        'this.flights.invalidateAll(prefix);\n\t\tfor (const inner of this.#namespaces.values()) inner.flights.invalidateAll("");',
      ],
      [
        'index.js',
        'await this.#scope.awaitWriteBacks(prefix);',
        'await Promise.allSettled([this, ...this.#namespaces.values()].flatMap((cache) => cache.flights.writeBacks("")));',
      ],
    ],
  },
  {
    name: 'replace is neither queued nor slowed down',
    scenario: facade as Scenario,
    changes: [
      [
        'index.js',
        'return scope.updates.run(key, () => retryOnConflict({',
        'return ((_, task) => task())(key, () => retryOnConflict({',
      ],
      ['index.js', 'await clock.sleep(Math.random() * Math.min(conflicts, 20));', ''],
    ],
  },
  {
    name: 'an idle process restores an id that it confirmed long ago',
    scenario: generations as Scenario,
    firstSeed: 900,
    changes: [
      ['index.js', 'return this.#confirmedAt?.isWithin(restoreMs) === true;', 'return true;'],
    ],
  },
  {
    name: 'a clock that was set back keeps an id in use',
    scenario: generations as Scenario,
    firstSeed: 3400,
    changes: [
      [
        'index.js',
        'return age >= 0 && age < ms && monotonicOf(this.#clock) - this.#monotonic < ms;',
        'return age < ms;',
      ],
    ],
  },
  {
    name: 'an idle process does not wait for the id after an outage',
    scenario: generations as Scenario,
    firstSeed: 6_350,
    changes: [
      [
        'index.js',
        'return !this.#isConfirmed && this.#readAt?.isWithin(restoreMs) === true;',
        'return !this.#isConfirmed;',
      ],
    ],
  },
  {
    name: 'an older id replaces a newer one',
    scenario: generations as Scenario,
    changes: [
      ['index.js', 'const id = newestOf([newest, known]);', 'const id = newest;'],
      ['index.js', 'if (this.#id !== void 0 && !isOuterNew && !isNewer(id, this.#id)) return;', ''],
    ],
  },
  {
    name: 'add does not confirm the id',
    scenario: facade as Scenario,
    changes: [['index.js', 'return this.#confirmed("add", ', 'return this.#read("add", void 0, ']],
  },
  {
    name: 'the id of a namespace outlives the generation around it',
    scenario: facade as Scenario,
    firstSeed: 1400,
    changes: [
      [
        'index.js',
        'new Generation(inner, prefix, clock, this.#generation)',
        'new Generation(inner, prefix, clock)',
      ],
    ],
  },
  {
    name: 'calls of one tick overtake each other',
    scenario: batching as Scenario,
    parts: { withKeyOrder: (store) => store },
  },
  {
    name: 'a token lowers what is expected',
    scenario: sessionToken as Scenario,
    parts: { createTracker: () => new LoweringTracker() },
  },
]

test.each(faults)(
  'finds that $name',
  async ({ scenario, changes, parts = {}, firstSeed: seed }) => {
    const Cache = changes === undefined ? undefined : (await mutantOf(changes)).Cache
    const options = { seed, seeds: 10_000, shrinkMs: 100, parts: { ...parts, Cache } }
    expect((await simulate(scenario, options))?.problem).toBeDefined()
  },
)

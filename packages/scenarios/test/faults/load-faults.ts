import { withKeyOrder } from '@stowage/core/driver'
import { scenarios } from '@stowage/scenarios'
import type { Scenario } from '@stowage/testing/simulation'
import type { PlantedFault } from './planted-fault.ts'

const { remember, tags } = scenarios
const groupedLoads = scenarios['grouped-loads'] as Scenario

/** Loads without leases, which only the order of calls within their process protects. */
const withoutLeases: typeof remember = {
  ...remember,
  call: remember.call.map((call) => (call.op === 'remember' ? { ...call, lease: false } : call)),
}

/** Refreshes of one key whose value is often the same again, because updates are repeated in a new generation. */
const refreshesOnly: typeof remember = {
  ...remember,
  traits: remember.traits.map((traits) => ({ ...traits, scan: false })),
  call: remember.call.map((call) => {
    const target = { key: 'key0', inNamespace: false }
    if (call.op === 'set' || call.op === 'crowd') return { ...target, op: 'update' }
    if (call.op !== 'remember') return { ...call, ...target }
    const { loadMs, stopsOnAbort } = call
    return { ...target, op: 'remember', loadMs, stopsOnAbort, outcome: 'value', refresh: true }
  }) as typeof remember.call,
}

/** Loads and writes of one tagged key, which often overlap. */
const oneTaggedKey: typeof tags = {
  ...tags,
  call: tags.call.filter(
    (call) =>
      (call.op === 'remember' || call.op === 'set' || call.op === 'update') &&
      call.key === 'key0' &&
      !call.inNamespace &&
      call.tags?.length !== 0,
  ),
}

/** Loads of one tagged key whose value is often stale, and returned if a load fails. */
const staleLoads: typeof tags = {
  ...tags,
  call: tags.call.map((call) => {
    const target = { key: 'key0', inNamespace: false }
    if (call.op !== 'remember') return { ...call, ...target }
    const window = { ttl: 50, staleIfError: 2_000, staleWhileRevalidate: undefined }
    return { ...call, ...target, ...window, tags: ['tag0'], lateTags: undefined, refresh: false }
  }) as typeof tags.call,
}

/** Defects of loads, leases and refreshes. */
export const loadFaults: readonly PlantedFault[] = [
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
    name: 'a value that was deleted and stored again looks the same to a refresh',
    scenario: refreshesOnly as Scenario,
    firstSeed: 23_000,
    calls: 120,
    changes: [['index.js', 'isUnique(entries, stale) ? stale', 'true ? stale']],
  },
  {
    name: 'a lease is renewed by touch, which extends the ttl of what replaced it',
    scenario: remember as Scenario,
    firstSeed: 14_000,
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
    changes: [['index.js', 'if (flight.isReceivedBy(joined, result)) return', 'if (true) return']],
  },
  {
    name: 'calls of a process do not join the load of each other',
    scenario: remember as Scenario,
    changes: [
      ['index.js', 'return flight?.isAbandoned === true ? void 0 : flight;', 'return void 0;'],
    ],
  },
  {
    name: 'a load replaces what its process has written during the read before it',
    scenario: remember as Scenario,
    changes: [
      ['index.js', 'flight.isCurrent = false;', 'if (!flight.isReading) flight.isCurrent = false;'],
      [
        'index.js',
        'if (this.#seen === void 0) return this.#store.add(key, item, ttl);',
        'if (this.#seen === void 0) return this.#store.set(key, item, ttl).then(() => true);',
      ],
    ],
  },
  {
    name: 'two flights of a process wait for each other',
    scenario: remember as Scenario,
    firstSeed: 8100,
    changes: [['index.js', 'const holder = leaseHolders.get(lease.id);', 'const holder = void 0;']],
  },
  {
    name: 'a failure is not spread to other processes',
    scenario: remember as Scenario,
    firstSeed: 2000,
    changes: [
      [
        'index.js',
        'if (mark?.kind === "failure" && !await isOver(cache, mark)) return "fail";',
        'if (mark?.kind === "failure") return "unclaimed";',
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
        'found.staleMs >= window) return void 0;\n\treturn {\n\t\titem: found.item,\n\t\tsource: "read",\n\t\tisStale: found.staleMs >= 0,\n\t\taudience: "beforeRead"',
        'found.staleMs >= window) return void 0;\n\treturn {\n\t\titem: found.item,\n\t\tsource: "read",\n\t\tisStale: found.staleMs >= 0,\n\t\taudience: "all"',
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
      [
        'index.js',
        'expiresAt: now + ttl + options.staleWindow',
        'expiresAt: now + ttl + 2 * options.staleWindow',
      ],
    ],
  },
  {
    name: 'a load without a lease does not notice a write during its read',
    scenario: remember as Scenario,
    firstSeed: 26_040,
    changes: [
      [
        'index.js',
        '=== false && this.#cache.entries.store.processLocal !== true;',
        '=== 0 && this.#cache.entries.store.processLocal !== true;',
      ],
    ],
  },
  {
    name: 'versions that are older than an entry invalidate it',
    scenario: oneTaggedKey as Scenario,
    firstSeed: 1_690,
    changes: [['index.js', 'found.isEntry && found.entry === void 0 ?', 'found.isEntry === 0 ?']],
  },
  {
    name: 'a refresh without a lease loads what a caller is loading',
    scenario: remember as Scenario,
    firstSeed: 58_220,
    changes: [['index.js', '?.isReading === false ? void 0', '?.isReading === 0 ? void 0']],
  },
  {
    name: 'a stated end that is too late extends a ttl',
    scenario: tags as Scenario,
    firstSeed: 76_850,
    changes: [['index.js', 'ttl: Math.min(stated, ttl)', 'ttl: stated']],
  },
  {
    name: 'a stated end extends a ttl that the server does not reveal',
    scenario: remember as Scenario,
    firstSeed: 91_000,
    changes: [
      [
        'index.js',
        'if (found.ttl === void 0) continue',
        'if (found.ttl === void 0) if (stated === void 0) continue; else return { ttl: stated }',
      ],
    ],
  },
  {
    name: 'an entry whose request was late is returned after its end',
    scenario: remember as Scenario,
    firstSeed: 18_570,
    changes: [['index.js', 'if (expiresAt <= now) return void 0;', '']],
  },
  {
    name: 'a call that joins after an invalidation receives what an earlier read of the flight has found',
    scenario: staleLoads as Scenario,
    firstSeed: 17_100,
    calls: 60,
    changes: [
      [
        'index.js',
        'beginRead() {\n\t\tthis.#step++;',
        'beginRead() {\n\t\tthis.#readStep = ++this.#step;',
      ],
    ],
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
    // The store of a driver may not wait for them either.
    parts: {
      withKeyOrder: (store) =>
        Object.assign(withKeyOrder(store), {
          scan: (prefix: string) => store.scan?.(prefix),
          clear: () => store.clear(),
        }),
    },
    changes: [['index.js', 'if (writes.length > 0) await Promise.allSettled(writes);', '']],
  },
  {
    name: 'a namespace that was forgotten has flights of its own',
    scenario: remember as Scenario,
    firstSeed: 1650,
    changes: [
      [
        'index.js',
        'taggedWrites;\n\t#remember;',
        'taggedWrites;\n\tflights = new FlightGroup({ add() {} });\n\tnamespaces = new Map();\n\tall() { return [this, ...Array.from(this.namespaces.values(), (cache) => cache["~parts"])]; }\n\t#remember;',
      ],
      [
        'index.js',
        'this.#namespaces.set(name, created);',
        'this.#namespaces.set(name, created);\n\t\tthis.#parts.namespaces = this.#namespaces;',
      ],
      ['index.js', 'flights: this.scope.flightsOf(codec),', 'flights: this.flights,'],
      [
        'index.js',
        'this.scope.invalidateLoads(storageKey);',
        'this.flights.invalidate(storageKey);',
      ],
      [
        'index.js',
        'this.#parts.scope.invalidateAllLoads(prefix);',
        'for (const { flights } of this.#parts.all()) flights.invalidateAll("");',
      ],
      [
        'index.js',
        'if (writes.length > 0) await Promise.allSettled(writes);',
        'await Promise.allSettled(this.#parts.all().flatMap(({ flights }) => flights.writeBacks("")));',
      ],
    ],
  },
  {
    name: 'a group waits with its loader for a key that another process loads',
    scenario: groupedLoads,
    changes: [['index.js', 'group?.release(key);\n\tconst startedAt', 'const startedAt']],
  },
  {
    name: 'a group waits with its loader for a key that another group of its process loads',
    scenario: groupedLoads,
    changes: [
      [
        'index.js',
        'job.group?.release(job.key);\n\tflight.startWaitingFor(holder);',
        'flight.startWaitingFor(holder);',
      ],
    ],
  },
  {
    name: 'all keys of a group receive the value of the first one',
    scenario: groupedLoads,
    changes: [
      ['index.js', 'void value.resolve(values[index]));', 'void value.resolve(values[0]));'],
    ],
  },
  {
    name: 'a key that a group has found remains in flight',
    scenario: groupedLoads,
    changes: [
      [
        'index.js',
        'flights.end(flight, {\n\t\t\titem: found.item,\n\t\t\tsource: "read",\n\t\t\taudience: "beforeRead"\n\t\t});\n\t\treturn entries.serve',
        'return entries.serve',
      ],
    ],
  },
]

import { scenarios } from '@stowage/scenarios'
import type { Scenario } from '@stowage/testing/simulation'
import type { PlantedFault } from './planted-fault.ts'

const near = scenarios.near as Scenario
const bus = scenarios.bus as Scenario
const siblings = scenarios.siblings as Scenario
const memo = scenarios.memo as Scenario

/** Defects of near caches and of the memo. */
export const nearFaults: readonly PlantedFault[] = [
  {
    name: 'a near cache keeps a read that was sent before an invalidation',
    scenario: near,
    firstSeed: 600,
    changes: [['index.js', 'item === void 0 || read.isOutdated)', 'item === void 0)']],
  },
  {
    name: 'a near cache serves while its bus is disconnected',
    scenario: near,
    changes: [
      ['index.js', 'return this.#unsubscribe !== void 0 && bus.connected;', 'return true;'],
      ['index.js', 'this.#publishEmptied();\n\t\t\tthis.#dropPrefix("");', ''],
    ],
  },
  {
    // While a process is separated from the backend as well, it reads nothing that it could keep.
    name: 'a near cache keeps what was read while only its bus was disconnected',
    scenario: bus,
    changes: [
      [
        'index.js',
        'if (this.#isServing) return this.#reads.begin(key);',
        'if (this.#unsubscribe !== void 0) return this.#reads.begin(key);',
      ],
      [
        'index.js',
        'this.#publishEmptied();\n\t\t\tthis.#dropPrefix("");',
        'if (this.#config.bus.connected) return;\n\t\t\tthis.#dropPrefix("");',
      ],
    ],
  },
  {
    name: 'a near cache keeps what a pull has deleted',
    scenario: bus,
    changes: [
      [
        'index.js',
        'return this.#write([key], () => this.inner.compareAndSet(key, seen, next, ttl), readsAsMiss ? never : isTrue);',
        'return this.inner.compareAndSet(key, seen, next, ttl);',
      ],
    ],
  },
  {
    name: 'a near cache keeps what a write through another one of its process has changed',
    scenario: siblings,
    changes: [
      [
        'index.js',
        'for (const near of this.#siblings) for (const key of keys) near.#drop(key);',
        'for (const key of keys) this.#drop(key);',
      ],
    ],
  },
  {
    name: 'a near cache keeps what a clear of another one of its process has deleted',
    scenario: siblings,
    changes: [
      [
        'index.js',
        'for (const near of this.#siblings) near.#dropPrefix(prefix);',
        'this.#dropPrefix(prefix);',
      ],
    ],
  },
  {
    name: 'a snapshot is read from the near cache',
    scenario: siblings,
    changes: [
      [
        'index.js',
        'this.#context.reader.read(key, [], isStrong ? {\n\t\t\t...options,\n\t\t\t...strongRead\n\t\t} : options)',
        'this.#context.reader.read(key, [], options)',
      ],
    ],
  },
  {
    name: 'the value of a snapshot is replaced although it has changed',
    scenario: siblings,
    changes: [
      [
        'index.js',
        'ttl !== 0)) return this.replace(key, seen, replacement);',
        'ttl !== 0)) return this.replace(key, (await this.read(key)).item, replacement);',
      ],
    ],
  },
  {
    name: 'a near cache keeps its entries when messages may have been missed',
    scenario: near,
    firstSeed: 4650,
    changes: [['index.js', 'this.#publishEmptied();\n\t\t\tthis.#dropPrefix("");', '']],
  },
  {
    name: 'a near cache keeps what was read during an own write',
    scenario: near,
    firstSeed: 1450,
    changes: [
      [
        'index.js',
        'const end = (result) => {\n\t\t\tthis.#near.drop(nearKeys);',
        'const end = (result) => {',
      ],
    ],
  },
  {
    name: 'a near cache keeps what a copy that lags behind returned',
    scenario: near,
    changes: [['index.js', 'read !== void 0 && hasLag &&', 'read !== void 0 && false &&']],
  },
  {
    name: 'a read uses an id of a generation whose reading began before a clear was announced',
    scenario: near,
    firstSeed: 87_900,
    changes: [
      [
        'index.js',
        'if (!this.#isStarted) await this.#start();\n\t\tconst reading',
        'if (!this.#isStarted) return this.#start().then(() => call(this.keyPrefix));\n\t\tconst reading',
      ],
    ],
  },
  {
    name: 'writes are not announced',
    scenario: near,
    changes: [['index.js', 'if (mayChange(result)) this.#near.announce(nearKeys);', '']],
  },
  {
    name: 'an entry of a near cache has no bound',
    scenario: near,
    changes: [['index.js', 'this.#expiry.expiresAt(this.#config.ttlMs)', '60_000']],
  },
  {
    name: 'an entry of a near cache outlives the one in the store',
    scenario: near,
    changes: [['index.js', '+ (ttl ?? Infinity));', '+ Infinity);']],
  },
  {
    name: 'the clear of another process drops nothing',
    scenario: near,
    changes: [
      [
        'index.js',
        'this.#dropPrefix(prefix);\n\t\tthis.#config.onClear(prefix);',
        'this.#config.onClear(prefix);',
      ],
    ],
  },
  {
    name: 'the clear of another process does not expire the generation',
    scenario: near,
    changes: [
      [
        'index.js',
        'this.#dropPrefix(prefix);\n\t\tthis.#config.onClear(prefix);',
        'this.#dropPrefix(prefix);',
      ],
    ],
  },
  {
    name: 'a read of an id that was sent before a clear counts as one after it',
    scenario: near,
    changes: [
      [
        'index.js',
        'this.#readAt = expirations === this.#expirations ? at : void 0;',
        'this.#readAt = at;',
      ],
      ['index.js', 'this.#readAt = void 0;\n\t\tthis.#reading = void 0;', 'this.#readAt = void 0;'],
    ],
  },
  {
    name: 'a memo keeps a read that was sent during a write of its scope',
    scenario: memo,
    changes: [
      [
        'index.js',
        'result instanceof Promise ? result.finally(() => this.#drop(keys)) : result;',
        'result;',
      ],
    ],
  },
  {
    name: 'a memo keeps the reads of earlier scopes',
    scenario: memo,
    changes: [
      [
        'index.js',
        'scopes.run(/* @__PURE__ */ new Map(), work)',
        'scopes.run(memo.reads ??= new Map(), work)',
      ],
    ],
  },
  {
    name: 'a memo does not repeat a read',
    scenario: memo,
    changes: [['index.js', 'if (this.#reads.has(key)) return this.#reads.get(key);', '']],
  },
  {
    name: 'a memo answers strong reads',
    scenario: memo,
    changes: [
      ['index.js', 'options?.consistency === void 0 ? readsOf(inner) : void 0', 'readsOf(inner)'],
    ],
  },
]

import {
  type Parts,
  ReplicationTracker,
  type Scenario,
  scenarios,
  simulate,
} from '@stowage/testing/simulation'
import { expect, test } from 'vitest'
import { type Change, mutantOf } from './mutant.ts'

const { batching, facade, generations, remember, 'session-token': sessionToken } = scenarios

/** A fix that is taken back, and the scenario that must notice. */
interface PlantedFault {
  readonly name: string
  readonly scenario: Scenario
  readonly changes?: readonly Change[]
  readonly parts?: Parts
  /** For a rare finding. @default 0 */
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
    name: 'remember joins a flight only after its own read',
    scenario: remember as Scenario,
    changes: [
      [
        'index.js',
        'flight = this.#flights.begin(storageKey);\n\t\t\t\tfound = await found;',
        'found = await found;',
      ],
      [
        'index.js',
        'flight ??= this.#flights.begin(storageKey);\n\t\treturn loadFlight',
        'const late = this.#flights.find(storageKey);\n\t\tif (late) return joinFlight(late, this.#loadJob(storageKey, options, load));\n\t\tflight ??= this.#flights.begin(storageKey);\n\t\treturn loadFlight',
      ],
    ],
  },
  {
    name: 'remember does not notice a write during its read',
    scenario: remember as Scenario,
    changes: [
      [
        'index.js',
        'flight.isLoading = true;',
        'flight.isLoading = true;\n\tflight.isCurrent = true;',
      ],
    ],
  },
  {
    name: 'a delete overtakes the write of a loaded value',
    scenario: remember as Scenario,
    parts: { withKeyOrder: (store) => store },
  },
  {
    name: 'clear does not wait for loaded values that are being stored',
    scenario: remember as Scenario,
    changes: [['index.js', 'await this.#scope.awaitWriteBacks(prefix);', '']],
  },
  {
    name: 'a namespace that was forgotten has flights of its own',
    scenario: remember as Scenario,
    changes: [
      [
        'index.js',
        'this.#flights = this.#scope.flightsOf(codec);',
        'this.#flights = new SingleFlight();',
      ],
      ['index.js', 'this.#scope.invalidate(storageKey);', 'this.#flights.invalidate(storageKey);'],
      [
        'index.js',
        'this.#scope.invalidateAll(prefix);',
        'this.#flights.invalidateAll(prefix);\n\t\tfor (const inner of this.#namespaces.values()) inner.#flights.invalidateAll("");',
      ],
      [
        'index.js',
        'await this.#scope.awaitWriteBacks(prefix);',
        'await Promise.allSettled([this, ...this.#namespaces.values()].flatMap((cache) => cache.#flights.writeBacks("")));',
      ],
    ],
  },
  {
    name: 'replace is neither queued nor slowed down',
    scenario: facade as Scenario,
    changes: [
      [
        'index.js',
        'return this.#scope.updates.run(key, () => retryOnConflict({',
        'return ((_, task) => task())(key, () => retryOnConflict({',
      ],
      ['index.js', 'await clock.sleep(Math.random() * Math.min(conflicts, 20));', ''],
    ],
  },
  {
    name: 'an idle process restores an id that it confirmed long ago',
    scenario: generations as Scenario,
    changes: [
      ['index.js', 'return this.#confirmedAt?.isWithin(restoreMs) === true;', 'return true;'],
    ],
  },
  {
    name: 'a clock that was set back keeps an id in use',
    scenario: generations as Scenario,
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
    firstSeed: 6_000,
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

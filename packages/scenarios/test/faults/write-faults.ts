import { scenarios } from '@stowage/scenarios'
import { ReplicationProgress, type Scenario } from '@stowage/testing/simulation'
import type { PlantedFault } from './planted-fault.ts'

const { batching, facade } = scenarios
const sessionToken = scenarios['session-token']
const exactWrites = scenarios['exact-writes']
const writeThrough = scenarios['write-through']

/** Lowers what is expected to what was expected when a copy was queried. */
class LoweringTracker extends ReplicationProgress {
  override update(copy: number, applied: number, expected: number): void {
    super.update(copy, applied, expected)
    if (applied >= expected) this.expectedWrites = expected
  }
}

/** Defects in the order of calls, of writes to two places and of reads after them. */
export const writeFaults: readonly PlantedFault[] = [
  {
    name: 'an exact write stores its value although another one has overlapped',
    scenario: exactWrites as Scenario,
    changes: [['index.js', 'this.#isExclusive ? this.#next : void 0', 'this.#next']],
  },
  {
    name: 'replace is neither queued nor slowed down',
    scenario: facade as Scenario,
    changes: [
      [
        'index.js',
        'return scope.updates.run(key, at, (flight) =>',
        'return ((_key, _at, task) => task(new Flight(key)))(key, at, (flight) =>',
      ],
      ['index.js', 'await clock.sleep(Math.random() * Math.min(conflicts, 20));', ''],
    ],
  },
  {
    name: 'calls of one tick overtake each other',
    scenario: batching as Scenario,
    parts: { withKeyOrder: (store) => store },
  },
  {
    name: 'a writer that has lost its lease does not delete the value of the other',
    scenario: writeThrough as Scenario,
    changes: [['index.js', 'isStored || this.#delete(key)', 'isStored']],
  },
  {
    name: 'a saved value is stored although another write came in between',
    scenario: writeThrough as Scenario,
    changes: [
      [
        'index.js',
        'return lease.replace(saved.item, saved.ttl);',
        'return this.#context.entries.store.set(key, saved.item, saved.ttl).then(() => true);',
      ],
    ],
  },
  {
    name: 'a write does not end the loads before it',
    scenario: writeThrough as Scenario,
    changes: [
      [
        'index.js',
        'await this.#store.set(this.#key, this.#nextItem(), this.#ms);',
        'await this.#store.add(this.#key, this.#nextItem(), this.#ms);',
      ],
      ['index.js', 'isStored || this.#delete(key)', 'isStored'],
    ],
  },
  {
    name: 'a token lowers what is expected',
    scenario: sessionToken as Scenario,
    parts: { createTracker: () => new LoweringTracker() },
  },
]

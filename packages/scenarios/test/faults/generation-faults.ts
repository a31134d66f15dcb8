import { wrapStore } from '@stowage/core/driver'
import { scenarios } from '@stowage/scenarios'
import type { Scenario } from '@stowage/testing/simulation'
import type { PlantedFault } from './planted-fault.ts'

const { facade, generations } = scenarios
const clearedLoads = scenarios['cleared-loads'] as Scenario

/** One of the copies of the id contains a value of another program: it reads as missing, and yet `add` is refused. */
export const withForeignIds: typeof generations = {
  ...generations,
  start(context) {
    const store = wrapStore(context.store, async (operation, call, [key]) => {
      const result = await call()
      if (key !== `${context.prefix}~generation`) return result
      return (operation === 'get' ? undefined : operation === 'add' ? false : result) as never
    })
    return generations.start({ ...context, store })
  },
}

/** Defects of generations. */
export const generationFaults: readonly PlantedFault[] = [
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
        'return !this.#isConfirmed && this.#readAt?.isWithin(failingMs) === true;',
        'return !this.#isConfirmed;',
      ],
    ],
  },
  {
    name: 'an id that cannot be stored is added without end',
    scenario: withForeignIds as Scenario,
    changes: [['index.js', 'failedAdds < maxFailedAdds;', 'failedAdds < Infinity;']],
  },
  {
    name: 'an older id replaces a newer one',
    scenario: generations as Scenario,
    changes: [
      ['index.js', 'const id = newestOf([newest, this.#id]);', 'const id = newest;'],
      ['index.js', 'if (this.#id !== void 0 && !isNewer(id, this.#id)) return;', ''],
    ],
  },
  {
    name: 'add does not confirm the id',
    scenario: facade as Scenario,
    changes: [['index.js', 'return this.#confirmed("add", ', 'return this.#read("add", void 0, ']],
  },
  {
    name: 'the keys of a namespace do not contain the id of the cache around it',
    scenario: facade as Scenario,
    firstSeed: 1400,
    changes: [
      [
        'index.js',
        'new Generation(innermost, prefix, clock, this.#generation)',
        'new Generation(innermost, prefix, clock)',
      ],
    ],
  },
  {
    name: 'a strong read succeeds although the id is unreachable',
    scenario: clearedLoads,
    changes: [
      [
        'index.js',
        'if (kind === "read" || kind === "add") await confirming;',
        'confirming.catch(() => {});',
      ],
    ],
  },
  {
    name: 'an add succeeds although the id is unreachable',
    scenario: clearedLoads,
    firstSeed: 1400,
    changes: [
      [
        'index.js',
        'if (kind === "read" || kind === "add") await confirming;',
        'if (kind === "read") await confirming;\n\t\telse confirming.catch(() => {});',
      ],
    ],
  },
  {
    name: 'a call in a namespace confirms the id of the namespace only',
    scenario: facade as Scenario,
    changes: [
      [
        'index.js',
        'const confirming = all(this.#chain, (each) => each.#confirm());',
        'const confirming = this.#confirm();',
      ],
    ],
  },
]

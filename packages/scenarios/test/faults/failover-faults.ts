import { scenarios } from '@stowage/scenarios'
import type { Scenario } from '@stowage/testing/simulation'
import type { PlantedFault } from './planted-fault.ts'

const failover = scenarios.failover as Scenario

/** Defects of a store with a fallback. */
export const failoverFaults: readonly PlantedFault[] = [
  {
    name: 'the journal is not deleted when the store returns',
    scenario: failover,
    changes: [
      [
        'index.js',
        'const outcomes = await restorePrimary(this.#primary, this.#fallback, this.unsettled, keys);\n\t\tconst deleted',
        'const outcomes = keys.map(() => ({ status: "fulfilled" }));\n\t\tconst deleted',
      ],
    ],
  },
  {
    name: 'the fallback store serves values of an earlier outage',
    scenario: failover,
    changes: [
      [
        'index.js',
        'const last = this.#current ?? this.#last;\n\t\tthis.#current = void 0;',
        'return;',
      ],
      ['index.js', 'id !== this.#dropped', 'true'],
    ],
  },
  {
    name: 'an add with an unknown outcome is repeated on the fallback store',
    scenario: failover,
    firstSeed: 400,
    changes: [['index.js', 'if (isRefusal(error)) return onFallback();', 'return onFallback();']],
  },
  {
    name: 'a change with an unknown outcome is not written to the journal',
    scenario: failover,
    changes: [
      [
        'index.js',
        'this.#addUnsettled(key, true);',
        'if (isRefusal(error)) this.#addUnsettled(key, false);',
      ],
    ],
  },
  {
    name: 'a late call is not undone',
    scenario: failover,
    firstSeed: 1700,
    changes: [
      ['index.js', 'if (this.#uncertain.delete(key) || isGenerationKey(key)) ', 'if (false) '],
    ],
  },
  {
    name: 'an overflown journal does not clear the caches',
    scenario: failover,
    changes: [['index.js', 'for (const clear of this.#clears.values()) await clear();', '']],
  },
  {
    name: 'a prefix that was cleared in the fallback store only is not cleared later',
    scenario: failover,
    firstSeed: 250,
    changes: [['index.js', 'if (this.phase === "fallback") this.drain.addPrefix(prefix);', '']],
  },
  {
    name: 'the ids of generations are deleted with the journal',
    scenario: failover,
    firstSeed: 300,
    changes: [
      [
        'index.js',
        'record(copies, raiseGeneration(primary, fallback, unsettled, copies))',
        'record(copies, deleteItems(primary, copies))',
      ],
    ],
  },
  {
    name: 'a change in both stores is forgotten when another process replaces the id of the outage',
    scenario: failover,
    firstSeed: 1300,
    changes: [
      [
        'index.js',
        'if (!this.isShared) return;\n\t\tif (this.#changed',
        'return;\n\t\tif (this.#changed',
      ],
    ],
  },
  {
    name: 'the first call for a prefix fails in the moment in which the store does',
    scenario: failover,
    firstSeed: 300,
    changes: [['index.js', '!isOutage(error)) throw error;', 'true) throw error;']],
  },
]

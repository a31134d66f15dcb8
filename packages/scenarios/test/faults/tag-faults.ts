import { scenarios } from '@stowage/scenarios'
import type { Scenario } from '@stowage/testing/simulation'
import type { PlantedFault } from './planted-fault.ts'

const tags = scenarios.tags as Scenario

/** Defects of tags. */
export const tagFaults: readonly PlantedFault[] = [
  {
    name: 'the versions of tags are read after the load',
    scenario: tags,
    changes: [
      [
        'index.js',
        'const known = [...tags].filter((tag) => versions.get(tag) !== void 0);',
        'versions = await root.tags.create(await root.tags.read([...tags], strongRead));\n\tconst known = [...tags];',
      ],
    ],
  },
  {
    name: 'late tags are kept without comparing times',
    scenario: tags,
    changes: [['index.js', '>= loadBegan - clockUncertainty) return', '>= Infinity) return']],
  },
  {
    name: 'a late tag takes the version that an invalidation has created',
    scenario: tags,
    firstSeed: 2750,
    changes: [
      [
        'index.js',
        'if (invalidatedAt(version) >= loadBegan',
        'if (existing.get(tag) !== void 0 && invalidatedAt(version) >= loadBegan',
      ],
    ],
  },
  {
    name: 'an invalidation deletes the version of the tag',
    scenario: tags,
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
    scenario: tags,
    changes: [['index.js', 'isStale ? Math.max(0, now - until) : now - until', 'now - until']],
  },
  {
    name: 'an invalidated value is offered to the loader, which confirms it',
    scenario: tags,
    changes: [['index.js', 'entry: void 0,\n\t\tisEntry: true,', 'entry,\n\t\tisEntry: true,']],
  },
]

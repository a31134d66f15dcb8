import { scenarios } from '@stowage/scenarios'
import type { Scenario } from '@stowage/testing/simulation'
import type { PlantedFault } from './planted-fault.ts'

const changing = scenarios.changing as Scenario
const lostMarks = scenarios['lost-marks'] as Scenario

/** Defects of changes. */
export const changeFaults: readonly PlantedFault[] = [
  {
    name: 'the work of a change does not wait for its marks',
    scenario: changing,
    changes: [
      [
        'index.js',
        'const begun = mark.begin(ms).catch(',
        'void mark.begin(ms).catch(() => {});\n\t\tconst begun = Promise.resolve().catch(',
      ],
      ['index.js', 'if (mark.isSafeFor(ms / 3)) continue;', 'continue;'],
    ],
  },
  {
    name: 'the marks of a change are removed before the commit',
    scenario: changing,
    changes: [
      [
        'index.js',
        'await this.#write();\n\t}\n\tasync end(next) {',
        'await this.#write();\n\t\tthis.#marked.store.delete(this.key).catch(() => {});\n\t}\n\tasync end(next) {',
      ],
    ],
  },
  {
    name: 'the end of a change removes the mark without comparing it',
    scenario: changing,
    firstSeed: 800,
    changes: [
      [
        'index.js',
        'return store.compareAndSet(key, this.#item, item, ttl);\n\t}\n\t#others',
        'return item === void 0 ? store.delete(key).then(() => true) : store.set(key, item, ttl).then(() => true);\n\t}\n\t#others',
      ],
    ],
  },
  {
    name: 'a change replaces the mark of another one',
    scenario: changing,
    changes: [
      [
        'index.js',
        'changeMark([...others, holderAt(this.#id, ms, now)], seen)',
        'changeMark([holderAt(this.#id, ms, now)], seen)',
      ],
    ],
  },
  {
    name: 'the last change of a process does not leave the mark to those of others',
    scenario: changing,
    changes: [
      [
        'index.js',
        'if (others.length > 0) {\n\t\t\tconst mark = changeMark',
        'if (false) {\n\t\t\tconst mark = changeMark',
      ],
    ],
  },
  {
    name: 'a tag has the same version after each change',
    scenario: changing,
    changes: [
      [
        'index.js',
        'const version = createVersion(await this.#time.readUpperBound());\n\t\treturn {',
        'const version = "1-same.1-same";\n\t\treturn {',
      ],
    ],
  },
  {
    name: 'a load replaces the mark of a change',
    scenario: changing,
    changes: [
      [
        'index.js',
        'if (mark?.kind === "change" && await isInProgress(mark, cache.root.time)) return "unclaimed";',
        '',
      ],
    ],
  },
  {
    name: 'a value is stored with a version that is changing',
    scenario: changing,
    changes: [
      ['index.js', 'if (isChanging(found.versions, job.options.tags)) return "unclaimed";', ''],
      ['index.js', 'if (isChanging(versions, tags)) return void 0;', ''],
      ['index.js', 'version === "~.~" ? "" : version', 'version'],
    ],
  },
  {
    name: 'a value is stored whose late tag is changing',
    scenario: changing,
    changes: [
      ['index.js', 'if (isChanging(current, late)) return void 0;', ''],
      ['index.js', 'version === "~.~" ? "" : version', 'version'],
    ],
  },
  {
    name: 'a load creates a version in the place of a mark',
    scenario: changing,
    changes: [['index.js', 'return this.#isOver(mark) ? void 0 : "~.~";', 'return void 0;']],
  },
  {
    name: 'a mark is not renewed, and its work does not notice',
    scenario: changing,
    changes: [
      [
        'index.js',
        'this.#timer = setInterval(() => void this.#write()',
        'this.#timer = setInterval(() => void Promise.resolve()',
      ],
      ['index.js', 'if (mark.isSafeFor(ms / 3)) continue;', 'continue;'],
    ],
  },
  {
    name: 'the end of a change leaves what has replaced its mark',
    scenario: lostMarks,
    changes: [
      [
        'index.js',
        'if (await this.#remove()) return true;\n\t\t\tawait this.#take();\n\t\t\treturn false;',
        'await this.#remove();\n\t\t\treturn true;',
      ],
    ],
  },
  {
    name: 'the mark of a killed process stands for ever',
    scenario: changing,
    changes: [
      [
        'index.js',
        'if (!await replaceSeen(store, key, seen, item, ttlOf(mark))) return false;',
        'if (!await replaceSeen(store, key, seen, item)) return false;',
      ],
      ['index.js', 'return await time.estimateOrThrow() < end;', 'return true;'],
    ],
  },
]

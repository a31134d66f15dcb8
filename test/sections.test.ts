import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import {
  filesOfSections,
  sectionOf,
  sections,
  sectionsOfChange,
  testFiles,
} from '../scripts/lib/sections.mjs'

const all = Object.keys(sections)

test('every test file belongs to a section', () => {
  expect(testFiles().filter((file) => sectionOf(file) === undefined)).toEqual([])
  expect(filesOfSections(all)).toHaveLength(testFiles().length)
})

test('a change of a package is proved by a section with tests of this package', () => {
  for (const name of readdirSync(fileURLToPath(new URL('../packages', import.meta.url)))) {
    expect(sectionsOfChange([`packages/${name}/src/index.ts`]), name).toContain(
      sectionOf(`packages/${name}/test/any.test.ts`),
    )
  }
})

test.each([
  [['packages/redis/src/commands.ts'], ['redis']],
  [['packages/core/src/cache.ts'], ['core', 'testing']],
  [['test/sessions/cases/races.ts'], ['sessions']],
  [['docs/locks.md'], ['workspace']],
  [['README.md'], ['workspace']],
  [
    ['packages/lmdb/src/index.ts', 'examples/nestjs/app.mjs'],
    ['lmdb', 'examples'],
  ],
  [['packages/test-servers/src/process/ports.ts'], all],
  [['pnpm-lock.yaml'], all],
  [[], []],
])('a change of %s is proved by the sections %s', (files, expected) => {
  expect(sectionsOfChange(files)).toEqual(expected)
})

import { join, relative, sep } from 'node:path'
import { filesIn } from './files.mjs'
import { root } from './run.mjs'

/**
 * The sections of the full tier. Each can run alone. `tests` are the files that it runs, `sources` what it proves besides:
 * a change of one of both is proved by running the section.
 */
export const sections = {
  core: {
    tests: [
      ...['packages/core/', 'packages/memory/', 'packages/msgpack/'],
      ...['test/remember/', 'test/changing/', 'test/locks/', 'test/near/', 'test/failover/'],
    ],
  },
  redis: { tests: ['packages/redis/'] },
  memcached: { tests: ['packages/memcached/'] },
  dynamodb: { tests: ['packages/dynamodb/'] },
  lmdb: { tests: ['packages/lmdb/'] },
  postgres: { tests: ['packages/postgres/'] },
  sessions: { tests: ['packages/sessions/', 'packages/express/', 'test/sessions/'] },
  http: { tests: ['packages/http-cache/', 'test/http-cache/'] },
  bridges: { tests: ['packages/bridges/', 'test/bridges/'] },
  testing: {
    tests: ['packages/testing/', 'packages/scenarios/', 'packages/test-servers/'],
    sources: ['packages/core/'],
  },
  telemetry: { tests: ['packages/telemetry/'] },
  cli: { tests: ['packages/cli/', 'packages/drivers/'] },
  examples: { tests: ['examples/'] },
  // Packages as users install them, and pages as they read them.
  workspace: {
    tests: ['test/'],
    sources: ['scripts/', 'docs/', 'docs-site/', 'benchmarks/', '.changeset/', '.github/'],
  },
}

/** What every section depends on. */
const common = [
  ...['packages/test-servers/', 'test/setup/', 'scripts/lib/', 'vitest.config.ts'],
  ...['package.json', 'pnpm-lock.yaml', 'pnpm-workspace.yaml', 'tsconfig.base.json'],
]

/** The name of the section that runs a test file: the one with the most specific folder. */
export function sectionOf(file) {
  const folders = Object.entries(sections).flatMap(([name, { tests }]) =>
    tests.filter((folder) => file.startsWith(folder)).map((folder) => ({ name, folder })),
  )
  return folders.sort((a, b) => b.folder.length - a.folder.length)[0]?.name
}

/** The test files of sections, as absolute paths. */
export function filesOfSections(chosen) {
  return testFiles()
    .filter((file) => chosen.includes(sectionOf(file)))
    .map((file) => join(root, file))
}

/** All test files, relative to the workspace. */
export function testFiles() {
  return ['packages', 'examples', 'test']
    .flatMap((folder) => filesIn(join(root, folder)))
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => relative(root, file).split(sep).join('/'))
}

/** The names of the sections that prove the files. A file in none of their folders belongs to `workspace`. */
export function sectionsOfChange(files) {
  if (files.some((file) => common.some((path) => file.startsWith(path)))) return names
  const changed = new Set(files.flatMap((file) => [sectionOf(file) ?? 'workspace', ...users(file)]))
  return names.filter((name) => changed.has(name))
}

function users(file) {
  return names.filter((name) => sections[name].sources?.some((path) => file.startsWith(path)))
}

const names = Object.keys(sections)

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The root folder of the workspace. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/**
 * The groups of the sidebar. A page is a Markdown file of the workspace, which stays readable where it is. With
 * `section`, it is one section of that file. Pages of docs, packages and examples that are not named here are appended.
 */
const groups = [
  {
    text: 'Start',
    pages: [
      ['docs/README.md', 'What Stowage is'],
      ['docs/getting-started.md', 'Getting started'],
      ['docs/choose-a-driver.md', 'Choose a driver'],
      ['docs/coming-from.md', 'Coming from another library'],
      ['examples/README.md', 'Examples'],
    ],
  },
  {
    text: 'Drivers',
    pages: [
      ['docs/drivers/memory.md', 'Memory'],
      ['docs/drivers/lmdb.md', 'LMDB'],
      ['docs/drivers/redis.md', 'Redis and Valkey'],
      ['docs/drivers/memcached.md', 'Memcached'],
      ['docs/drivers/dynamodb.md', 'DynamoDB'],
      ['docs/drivers/postgres.md', 'PostgreSQL'],
      ['docs/write-a-driver.md', 'Write a driver'],
    ],
  },
  {
    text: 'Caching',
    pages: [
      ['packages/core/README.md', 'The cache'],
      ['docs/configuration.md', 'Configuration'],
      ['docs/remember.md', 'remember'],
      ['docs/stale-values.md', 'Stale values'],
      ['docs/tags.md', 'Tags'],
      ['docs/transactions.md', 'Transactions'],
      ['docs/collections.md', 'Collections'],
      ['docs/memo.md', 'Memo'],
      ['docs/near-cache.md', 'Near cache'],
      ['docs/codecs.md', 'Codecs'],
      ['docs/staleness.md', 'How old a value can be'],
      ['docs/locks.md', 'Locks'],
      ['docs/limits.md', 'Limits'],
      ['docs/bridges.md', 'Behind other libraries'],
    ],
  },
  {
    text: 'Sessions',
    pages: [
      ['docs/sessions.md', 'Sessions'],
      ['docs/session-security.md', 'Security of sessions'],
      ['docs/moving-sessions.md', 'Moving sessions'],
    ],
  },
  {
    text: 'Operation',
    pages: [
      ['packages/telemetry/README.md', 'Metrics, traces and logs'],
      ['docs/operations.md', 'Operations'],
      ['docs/failover.md', 'Failover'],
      ['docs/bundling.md', 'Bundle an application'],
      ['docs/errors.md', 'Errors and remedies'],
      ['docs/versions.md', 'Versions and dependencies'],
      ['README.md', 'Speed', 'Speed'],
      ['docs/side-by-side.md', 'Side by side'],
    ],
  },
  {
    text: 'Reference',
    pages: [
      ['docs/semantics.md', 'Semantics of all drivers'],
      ['docs/testing.md', 'Testing'],
      ['benchmarks/README.md', 'Benchmarks'],
      ['benchmarks/results.md', 'Results of the benchmarks'],
      ['CONTRIBUTING.md', 'Contributing'],
    ],
  },
]

/**
 * @typedef {object} Page
 * @property {string} source path of the Markdown file in the workspace
 * @property {string} text in the sidebar
 * @property {string} [section] heading of the section that is the page
 * @property {string} route path in the site, without extension
 */

/** All groups of the sidebar with their pages, without the API reference. */
export function pageGroups() {
  const named = groups.map(({ text, pages }) => ({ text, pages: pages.map(toPage) }))
  const sources = new Set(named.flatMap(({ pages }) => pages.map(({ source }) => source)))
  const others = (files) => files.filter((file) => !sources.has(file)).map((file) => toPage([file]))
  return [
    ...named,
    { text: 'More', pages: others(markdownIn('docs')) },
    { text: 'Packages', pages: others(readmesIn('packages')) },
    { text: 'Example applications', pages: others(readmesIn('examples')) },
  ].filter(({ pages }) => pages.length > 0)
}

function toPage([source, text = titleOf(source), section]) {
  return { source, text, section, route: routeOf(source, section) }
}

/** READMEs of packages that are pages of the guide, with its sidebar. */
const guides = { 'packages/core/README.md': 'cache', 'packages/telemetry/README.md': 'telemetry' }

function routeOf(source, section) {
  if (section !== undefined) return section.toLowerCase().replaceAll(' ', '-')
  const path = source.replace(/^docs\//, '').replace(/\.md$/, '')
  if (path === 'README') return 'index'
  if (path === 'examples/README') return 'examples/index'
  if (source in guides) return guides[source]
  return path.replace(/\/README$/, '').toLowerCase()
}

function titleOf(source) {
  const heading = /^# (.+)$/m.exec(readFileSync(join(root, source), 'utf8'))?.[1] ?? source
  return heading.replaceAll('`', '')
}

function markdownIn(folder) {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => posix.join(folder, name.replaceAll('\\', '/')))
    .sort()
}

function readmesIn(folder) {
  return readdirSync(join(root, folder))
    .map((name) => posix.join(folder, name, 'README.md'))
    .filter(
      (file) =>
        existsSync(join(root, file)) &&
        !/packages\/(?:test-servers|scenarios)$/.test(dirname(file)),
    )
}

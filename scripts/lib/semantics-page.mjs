import { dynamodb } from '@stowage/dynamodb'
import { lmdb } from '@stowage/lmdb'
import { memcached } from '@stowage/memcached'
import { memory } from '@stowage/memory'
import { postgres } from '@stowage/postgres'
import { redis } from '@stowage/redis'
import { conformance, contractVersion } from '@stowage/testing'

const intro = `# Semantics of all drivers

Look up what an application can rely on with every \`CACHE_DRIVER\`. Each driver passes the same tests against a real
server; these are their names. They are version ${contractVersion} of the contract. \`node scripts/write-docs.mjs\` writes this page from the
tests.

To test a driver of your own with them, see [Write a driver](write-a-driver.md).

## What differs

These are the limits with default options. Other differences are on the pages of the [drivers](choose-a-driver.md).

`

/** Titles of the groups. A group without a title has its own name. */
const titles = {
  read: 'Reads',
  write: 'Writes and deletes',
  atomic: 'Atomic operations',
  counters: 'Counters',
  expiry: 'Expiry',
  keys: 'Keys',
  values: 'Values',
  batches: 'Batches',
  limits: 'Limits',
  scan: 'Listing keys',
  clear: 'clear',
  lifecycle: 'Opening and closing',
  errors: 'Errors',
  order: 'Order of calls',
  sharing: 'Several processes',
  outage: 'Outages',
  facade: 'The cache',
  ttl: 'Notations of a ttl',
  remember: 'remember',
  leases: 'remember over several processes',
  'stale values': 'Stale values',
  parts: 'Parts of a value',
  tags: 'Tags',
  changes: 'Changes of the source',
  locks: 'Locks',
  'rate limits': 'Limits of rate and concurrency',
  corrupt: 'Damaged and foreign values',
  codecs: 'Codecs',
}

/** The text of docs/semantics.md. */
export async function semanticsPage() {
  const rules = [...casesByGroup()].map(([group, cases]) => {
    const names = cases.map(({ name }) => `- ${escaped(name)}`).join('\n')
    return `## ${titles[group] ?? group}\n\n${names}\n`
  })
  return `${intro}${await differences()}\n${rules.join('\n')}`
}

function casesByGroup() {
  const groups = new Map()
  for (const each of conformance) groups.set(each.group, [...(groups.get(each.group) ?? []), each])
  return groups
}

/** Words in backticks where a rule names code, so that names such as getMany and remainingTtl are recognised. */
function escaped(name) {
  return name
    .replaceAll(/\b([a-z]+[A-Z]\w*|limits\.\w+|ERR_CACHE_\w+)(\(\))?(?![\w-])/g, '`$&`')
    .replaceAll('<', '&lt;')
}

async function differences() {
  // Constructors do no I/O.
  const stores = [
    memory(),
    lmdb(),
    redis(),
    memcached(),
    dynamodb({ table: 'cache', region: 'eu-central-1' }),
    postgres({ logged: true }),
  ]
  const row = (title, cell) => `| ${title} | ${stores.map(cell).join(' | ')} |`
  const table = [
    row('', ({ name }) => name),
    `|${'---|'.repeat(stores.length + 1)}`,
    row('largest key, longer ones are shortened', ({ limits }) => size(limits.keyBytes)),
    row('largest value', ({ limits }) => size(limits.valueBytes)),
    row('a ttl is rounded up to', ({ limits }) => duration(limits.ttlStep)),
    row('lists its keys', (store) => (store.scan === undefined ? 'no' : 'yes')),
    row('shared by processes', (store) => (store.processLocal ? 'no' : 'yes')),
    row('evicts nothing', (store) => (store.durable ? 'yes' : 'no')),
  ]
  await Promise.all(stores.map((store) => store.close()))
  return `${table.join('\n')}\n`
}

function size(bytes) {
  if (!Number.isFinite(bytes)) return 'no limit'
  const [unit, factor] =
    bytes > 1023 * 2 ** 10 ? ['MiB', 2 ** 20] : bytes >= 2 ** 12 ? ['KiB', 2 ** 10] : ['B', 1]
  return `${Math.round(bytes / factor)}\u00a0${unit}`
}

function duration(ms) {
  return ms < 1_000 ? `${ms}\u00a0ms` : `${ms / 1_000}\u00a0s`
}

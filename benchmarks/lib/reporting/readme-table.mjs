import { figure } from './columns.mjs'
import { wasBusy } from './machine-text.mjs'
import { newestOf } from './results.mjs'

const caches = ['async-cache-dedupe', 'bentocache', 'cache-manager', 'keyv', 'unstorage']
const sameLoops = (name, bytes, counts) => counts.map((count) => `${name} ${bytes} B x${count}`)

/**
 * The rows of the table in README.md. `raw` is what the figures are relative to: a package whose version is stated, or
 * `rawName`. `others` and `caches` name contestants; of several, the fastest is shown in each cell.
 */
const plan = [
  {
    label: 'Redis: get 100 B x256, x32, x1',
    group: 'redis',
    raw: 'ioredis',
    ids: sameLoops('get', 100, [256, 32, 1]),
    others: ['node-redis-no-deadline'],
    othersName: 'node-redis',
    caches,
  },
  {
    label: 'Redis: set 1 KB x256, x32, x1',
    group: 'redis',
    raw: 'ioredis',
    ids: sameLoops('set', 1024, [256, 32, 1]),
    others: ['node-redis-no-deadline'],
    othersName: 'node-redis',
    caches,
  },
  {
    label: 'Redis behind HTTP: get; get and set, 32 connections',
    group: 'sockets',
    raw: 'ioredis',
    ids: ['get x32', 'get + set x32'],
    others: ['node-redis-no-deadline'],
    othersName: 'node-redis',
  },
  {
    label: 'Memcached: get, set x100; get, set x1',
    group: 'memcached',
    raw: 'memjs',
    ids: ['get 100 B x100', 'set 100 B x100', 'get 100 B x1', 'set 100 B x1'],
    others: ['memcache', 'memcached'],
    othersName: 'memcache, memcached',
  },
  {
    label: 'DynamoDB ²: get, set 100 B x64; get, set x1',
    group: 'dynamodb-null',
    raw: '@aws-sdk/client-dynamodb',
    rawName: 'AWS SDK',
    ids: ['get 100 B x64', 'set 100 B x64', 'get 100 B x1', 'set 100 B x1'],
    others: ['raw-batched'],
    othersName: 'batched by hand',
  },
  {
    label: 'memory: get, set 1 KB; remember, a hit',
    group: 'memory',
    rawName: 'a `Map` of objects',
    ids: ['get 1024 B x1', 'set 1024 B x1', 'rememberHit 1024 B x1'],
    others: ['lru-cache'],
    othersName: 'lru-cache',
    caches,
  },
  {
    label: 'express-session: read, write',
    group: 'sessions',
    rawName: 'the same by hand',
    ids: ['read x32', 'write x32'],
    others: ['connect-redis'],
    othersName: 'connect-redis',
  },
  {
    label: 'HTTP cache, 10 KB, in memory x32, x1',
    group: 'http',
    rawName: 'the same by hand',
    ids: ['hit x32', 'hit x1'],
    caches: ['ocache'],
    cachesName: 'ocache',
  },
]

/**
 * The part of README.md between the comments `speed`: the short table, and when it was measured.
 *
 * @param {Map<string, object>} results see `storedResults`
 */
export function readmeTable(results) {
  const newest = newestOf(results)
  const rows = plan
    .filter(({ group }) => results.has(group))
    .map((row) => dataRow(row, results, newest))
  const table = [['workload', 'relative to', 'Stowage', 'other clients', 'other caches ¹'], ...rows]
  const [titles, ...lines] = table.map((line) => `| ${line.join(' | ')} |`)
  return [[titles, '|---|---|---|---|---|', ...lines].join('\n'), measuredText(results)].join(
    '\n\n',
  )
}

const notes = `¹ In each cell the fastest of async-cache-dedupe, bentocache, cache-manager, keyv and unstorage that has the method. ² On a server that
only stores items: a table in a region takes milliseconds per request.`

function dataRow({ label, group, raw, rawName = raw, ids, ...row }, results, { versions }) {
  const { rows } = results.get(group)
  const cells = (names) => ids.map((id) => fastest(rows, id, names)).join(', ')
  const named = (names, name) => (names ? `${name ? `${name}: ` : ''}${cells(names)}` : '')
  return [
    label,
    raw === undefined ? rawName : `${rawName} ${minor(versions[raw])}`,
    cells(['stowage']),
    named(row.others, row.othersName),
    named(row.caches, row.cachesName),
  ]
}

function fastest(rows, id, names) {
  const ratios = rows
    .filter((row) => row.id === id && names.includes(row.contestant) && row.ratioToRaw)
    .map(({ ratioToRaw }) => ratioToRaw.median)
  return ratios.length === 0 ? '-' : figure(Math.max(...ratios))
}

function measuredText(results) {
  const groups = new Set(plan.map(({ group }) => group))
  const shown = [...results.values()].filter(({ group }) => groups.has(group))
  const dates = shown.map(({ date }) => date).sort()
  const { machine, versions } = newestOf(results)
  const counts = new Set(shown.map((each) => each.machine.cpus))
  const cpus = [...counts].sort((a, b) => a - b).join(' or ')
  const date = dates[0] === dates.at(-1) ? `on ${dates[0]}` : `from ${dates[0]} to ${dates.at(-1)}`
  const busy = shown.some(wasBusy)
    ? ' Other programs used the machine at the same time, so that single cells vary widely.'
    : ''
  return `Medians ${date}, on a machine with ${cpus} CPUs (${machine.cpu}), with Node ${versions.Node}, Redis ${versions.Redis} and
Memcached ${versions.Memcached} on the same machine.${busy} ${notes}`
}

function minor(version) {
  return version.split('.').slice(0, 2).join('.')
}

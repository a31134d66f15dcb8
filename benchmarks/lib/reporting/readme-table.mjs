import { figure } from './columns.mjs'
import { wasBusy } from './machine-text.mjs'
import { newestOf } from './page.mjs'

const caches = ['async-cache-dedupe', 'bentocache', 'cache-manager', 'keyv', 'unstorage']
const sameLoops = (name, bytes, counts) => counts.map((count) => `${name} ${bytes} B x${count}`)

/**
 * The rows of the table in README.md. `others` and `caches` name contestants; of several, the fastest is shown in each
 * cell. A row with `title` only starts a part of the table; `raw` and `clients` name packages whose versions it states.
 */
const plan = [
  { title: 'Redis', raw: 'ioredis', clients: { 'node-redis': 'redis' }, clientNote: ' ¹' },
  ...['get', 'set'].flatMap((name) =>
    [100, 1024].map((bytes) => ({
      label: `${name} ${bytes === 100 ? '100 B' : '1 KB'} x256, x32, x1`,
      group: 'redis',
      ids: sameLoops(name, bytes, [256, 32, 1]),
      others: ['node-redis-no-deadline'],
      caches,
    })),
  ),
  {
    label: 'getMany of 100 keys x1: 100 B, 1 KB',
    group: 'redis',
    ids: ['getMany 100 B x1', 'getMany 1024 B x1'],
    others: ['node-redis-no-deadline'],
    caches,
  },
  ...[32, 1].map((connections) => ({
    label: `HTTP server, ${connections} connection${connections === 1 ? '' : 's'}: get; get and set`,
    group: 'sockets',
    ids: [`get x${connections}`, `get + set x${connections}`],
    others: ['node-redis-no-deadline'],
  })),
  { title: 'Memcached', raw: 'memjs', clients: { memcache: 'memcache', memcached: 'memcached' } },
  ...[
    ['memcached', 'one node'],
    ['memcached-3-nodes', 'three nodes'],
  ].map(([group, nodes]) => ({
    label: `${nodes}: get, set x100; get, set, getMany x1`,
    group,
    ids: ['get 100 B x100', 'set 100 B x100', 'get 100 B x1', 'set 100 B x1', 'getMany 100 B x1'],
    others: ['memcache', 'memcached'],
  })),
  {
    title: 'DynamoDB',
    raw: '@aws-sdk/client-dynamodb',
    rawName: 'the AWS SDK',
    clientNote: 'batched by hand',
    note: ' ²',
  },
  {
    label: 'get, set 100 B x64; get, set x1',
    group: 'dynamodb-null',
    ids: ['get 100 B x64', 'set 100 B x64', 'get 100 B x1', 'set 100 B x1'],
    others: ['raw-batched'],
  },
  { title: 'memory', rawName: 'a `Map` of objects', clients: { 'lru-cache': 'lru-cache' } },
  {
    label: 'get, set 1 KB; remember, a hit: values by reference',
    group: 'memory',
    ids: ['get 1024 B x1', 'set 1024 B x1', 'rememberHit 1024 B x1'],
    others: ['lru-cache'],
    caches,
  },
  {
    label: 'the same: values copied, as by default',
    group: 'memory',
    subject: 'stowage-bytes',
    ids: ['get 1024 B x1', 'set 1024 B x1', 'rememberHit 1024 B x1'],
    others: ['raw-json'],
    othersName: 'a `Map` of JSON text',
    caches: ['bentocache', 'keyv', 'unstorage'],
  },
  { title: 'files', rawName: 'a `Map` of JSON text' },
  {
    label: 'get, remember 1 KB; set x32, x1',
    group: 'lmdb',
    ids: ['get 1024 B x1', 'rememberHit 1024 B x1', 'set 1024 B x32', 'set 1024 B x1'],
    caches: ['keyv-sqlite', 'bentocache-file', 'unstorage-file'],
  },
  { title: 'HTTP', rawName: 'the same written by hand' },
  {
    label: 'express-session, 32 connections: read, write',
    group: 'sessions',
    ids: ['read x32', 'write x32'],
    others: ['connect-redis'],
    othersName: 'connect-redis',
  },
  {
    label: '`session()` of @stowage/sessions: read, write',
    group: 'sessions',
    subject: 'stowage session()',
    ids: ['read x32', 'write x32'],
  },
  {
    label: 'HTTP cache, 10 KB, in memory: x32, x1',
    group: 'http',
    ids: ['hit x32', 'hit x1'],
    caches: ['ocache'],
    cachesName: 'ocache',
  },
  {
    label: 'HTTP cache, 10 KB, in Redis: x32, x1',
    group: 'http',
    subject: 'stowage-redis',
    ids: ['hit x32', 'hit x1'],
    others: ['raw-redis'],
    othersName: 'by hand with ioredis',
  },
]

/**
 * The part of README.md between the comments `speed`: the short table, and when it was measured.
 *
 * @param {Map<string, object>} results see `storedResults`
 */
export function readmeTable(results) {
  const newest = newestOf(results)
  const shown = plan.filter(({ title, group }) => title || results.has(group))
  const rows = shown.map((row) => (row.title ? titleRow(row, newest) : dataRow(row, results)))
  const table = [['workload', 'Stowage', 'other clients', 'other libraries ³'], ...rows]
  const [titles, ...lines] = table.map((line) => `| ${line.join(' | ')} |`)
  return [measuredText(results), [titles, '|---|---|---|---|', ...lines].join('\n'), notes].join(
    '\n\n',
  )
}

const notes = `¹ Without its deadline: \`node-redis\` with its default deadline of five seconds per command is slower, and is on the page
named below. All calls of Stowage have a deadline.<br>
² On a server that only stores items: it shows the work of the client. A table in a region takes milliseconds per
request.<br>
³ In each cell the fastest of async-cache-dedupe, bentocache, cache-manager, keyv and unstorage that has the method; for
files of bentocache, unstorage and keyv on SQLite.`

function titleRow({ title, raw, rawName = raw, clients = {}, clientNote = '', note = '' }, newest) {
  const named = (name, key) => `${name} ${minor(newest.versions[key])}`
  const list = Object.entries(clients).map(([name, key]) => named(name, key))
  const relative = raw === undefined ? rawName : named(rawName, raw)
  return [`**${title}**, relative to ${relative}${note}`, '', `${list.join(', ')}${clientNote}`, '']
}

function dataRow({ label, group, ids, subject = 'stowage', ...row }, results) {
  const { rows } = results.get(group)
  const cells = (names) => ids.map((id) => fastest(rows, id, names)).join(', ')
  const named = (names, name) => (names ? `${name ? `${name}: ` : ''}${cells(names)}` : '')
  return [
    label,
    cells([subject]),
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
Memcached ${versions.Memcached} on the same machine.${busy}`
}

function minor(version) {
  return version.split('.').slice(0, 2).join('.')
}

// The direction of imports between packages, in sources and manifests, and between the folders of a package; and that
// imports, including those of types, form no cycle, neither between modules nor between folders. Examples, which readers
// copy, import nothing internal.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { importCycles } from './import-cycles.mjs'

const driver = ['core']

/** The Stowage packages that the sources of each package may import. Only tests import test-servers. */
const packages = {
  core: [],
  memory: driver,
  lmdb: driver,
  postgres: driver,
  redis: driver,
  memcached: driver,
  dynamodb: driver,
  sessions: driver,
  express: ['core', 'sessions'],
  'http-cache': driver,
  bridges: ['core', 'sessions'],
  msgpack: ['core'],
  telemetry: ['core'],
  drivers: ['core', 'memory', 'redis', 'memcached', 'dynamodb', 'lmdb', 'postgres'],
  cli: ['core', 'drivers', 'sessions', 'dynamodb', 'postgres', 'testing'],
  testing: ['core'],
  scenarios: ['core', 'sessions', 'testing'],
  'test-servers': [],
}

/**
 * For each folder of a package: the other folders, and the modules at the package's root, that it may import. The
 * modules at the root may import every folder.
 */
const folders = {
  core: {
    tracing: ['channels', 'errors', 'store', 'values'],
    calls: ['channels', 'errors', 'store', 'tracing'],
    time: ['errors', 'store'],
    audit: ['channels', 'options', 'time'],
    options: ['errors', 'time'],
    values: ['channels', 'entry', 'errors', 'options', 'store', 'time'],
    loading: ['calls', 'entry', 'errors', 'options', 'store', 'time', 'values'],
    wrappers: ['calls', 'channels', 'errors', 'options', 'store', 'time', 'tracing', 'values'],
    leases: ['eviction', 'loading', 'store', 'time', 'values'],
    tags: ['eviction', 'keys', 'options', 'store', 'time', 'values'],
    changing: [
      'calls',
      'channels',
      'errors',
      'keys',
      'options',
      'scope',
      'store',
      'tags',
      'time',
      'updates',
      'values',
    ],
    freshness: ['entry', 'errors', 'eviction', 'store', 'tags', 'time', 'values', 'wrappers'],
    generations: ['calls', 'diagnostics', 'store', 'time', 'updates', 'values', 'wrappers'],
    eviction: ['channels'],
    replication: ['channels', 'diagnostics', 'options', 'store', 'time'],
    near: [
      'bus',
      'calls',
      'channels',
      'entry',
      'eviction',
      'options',
      'store',
      'time',
      'values',
      'wrappers',
    ],
    updates: [
      'calls',
      'entry',
      'errors',
      'freshness',
      'loading',
      'store',
      'tags',
      'time',
      'values',
      'wrappers',
    ],
    scope: [
      'audit',
      'calls',
      'errors',
      'freshness',
      'generations',
      'keys',
      'leases',
      'loading',
      'near',
      'store',
      'tags',
      'time',
      'updates',
      'values',
      'wrappers',
    ],
    remember: [
      'audit',
      'calls',
      'channels',
      'entry',
      'errors',
      'freshness',
      'keys',
      'leases',
      'loading',
      'options',
      'scope',
      'store',
      'tags',
      'time',
      'tracing',
      'values',
      'wrappers',
    ],
    collections: [
      'changing',
      'channels',
      'entry',
      'errors',
      'keys',
      'leases',
      'loading',
      'options',
      'remember',
      'scope',
      'store',
      'time',
      'values',
    ],
    failover: [
      'calls',
      'channels',
      'diagnostics',
      'driver-errors',
      'errors',
      'generations',
      'options',
      'store',
      'time',
      'updates',
      'values',
      'wrappers',
    ],
    configuration: [
      'bus',
      'caches',
      'calls',
      'errors',
      'failover',
      'near',
      'options',
      'store',
      'time',
      'values',
    ],
    inspection: ['entry', 'freshness', 'store', 'values'],
    locks: [
      'bus',
      'calls',
      'channels',
      'errors',
      'keys',
      'loading',
      'options',
      'scope',
      'store',
      'time',
      'updates',
      'values',
    ],
    limits: [
      'calls',
      'channels',
      'errors',
      'keys',
      'locks',
      'options',
      'scope',
      'store',
      'time',
      'updates',
      'values',
    ],
  },
  redis: {
    protocol: ['redis-errors'],
    commands: ['protocol', 'redis-errors'],
    connection: ['protocol', 'reconnect-delay', 'redis-errors', 'redis-options'],
    consistency: ['connection', 'redis-errors'],
    topology: ['connection', 'consistency', 'redis-options'],
    diagnosis: ['connection', 'consistency', 'protocol', 'redis-errors', 'redis-options'],
    invalidation: ['connection', 'redis-errors', 'redis-options'],
  },
  memcached: {
    hashing: ['node-address'],
    protocol: [],
    connection: ['memcached-errors', 'node-address', 'protocol'],
    discovery: ['memcached-errors', 'node-address'],
    nodes: [
      'connection',
      'discovery',
      'hashing',
      'memcached-errors',
      'memcached-options',
      'node-address',
      'protocol',
    ],
    values: ['protocol'],
    items: ['connection', 'memcached-errors', 'nodes', 'protocol', 'values'],
    diagnosis: [
      'connection',
      'discovery',
      'hashing',
      'memcached-errors',
      'memcached-options',
      'node-address',
      'nodes',
      'protocol',
    ],
  },
  dynamodb: {
    transport: ['dynamodb-options'],
    requests: ['attributes', 'batch-outcomes', 'dynamodb-errors', 'transport'],
    items: ['attributes', 'dynamodb-errors', 'dynamodb-options', 'requests', 'transport'],
    'large-values': ['batch-outcomes', 'dynamodb-options', 'dynamodb-store'],
    table: ['dynamodb-options', 'requests'],
    diagnosis: ['dynamodb-options', 'requests', 'table'],
  },
  lmdb: {
    file: ['lmdb-errors'],
    items: ['file'],
    time: ['file'],
    opening: ['file', 'lmdb-errors', 'lmdb-options', 'time'],
    upkeep: ['file', 'items', 'lmdb-errors', 'lmdb-options', 'opening', 'time'],
    writes: ['lmdb-errors'],
  },
  postgres: {
    connections: ['postgres-errors'],
    items: ['connections', 'postgres-errors'],
    table: ['connections', 'postgres-errors', 'postgres-options', 'table-name'],
    upkeep: ['connections'],
    replication: ['connections', 'postgres-errors'],
    transactions: ['connections'],
    invalidation: [
      ...['connections', 'items', 'postgres-errors', 'postgres-options'],
      ...['table-name', 'transactions'],
    ],
    diagnosis: ['connections', 'postgres-errors', 'postgres-options', 'replication', 'table'],
  },
  sessions: {
    data: [],
    users: ['data'],
    reading: ['data', 'session-context', 'users'],
    writing: ['channels', 'data', 'reading', 'session-context', 'users'],
    http: ['channels', 'data', 'sessions', 'warn-once'],
    configuration: ['http', 'session-options', 'sessions', 'warn-once'],
  },
  'http-cache': {
    headers: [],
    policy: ['headers'],
    reads: ['request'],
    request: ['headers'],
    response: ['headers', 'policy', 'reads', 'request'],
    storage: ['headers', 'policy', 'request'],
    exchange: [
      'channels',
      'headers',
      'options',
      'policy',
      'reads',
      'request',
      'response',
      'storage',
    ],
    filling: [
      'channels',
      'exchange',
      'headers',
      'options',
      'policy',
      'request',
      'response',
      'storage',
    ],
    middleware: [
      'channels',
      'exchange',
      'filling',
      'headers',
      'options',
      'policy',
      'reads',
      'request',
      'response',
      'response-engine',
      'storage',
    ],
  },
  bridges: { support: [] },
  telemetry: {
    collector: [],
    exposition: ['collector'],
    spans: [],
  },
  cli: {
    output: ['errors'],
    configuration: ['errors', 'output'],
    doctor: ['configuration', 'output'],
    generate: ['errors'],
    commands: ['configuration', 'doctor', 'errors', 'output'],
  },
  testing: {
    conformance: ['chaos', 'manual-clock'],
    simulation: ['reference-store'],
  },
  scenarios: {
    caching: [],
    changes: ['loads', 'ordered-store'],
    facade: ['generation-ids', 'judge-failures'],
    failover: [],
    limits: ['ordered-store'],
    loads: ['generation-ids', 'judge-failures', 'ordered-store'],
    locks: ['ordered-store'],
    'user-sessions': ['ordered-store'],
  },
  'test-servers': {
    process: [],
    'fault-proxy': [],
    redis: ['process'],
    postgres: ['process'],
    dynamodb: ['process'],
  },
}

/**
 * What the rules forbid in a workspace, with paths relative to it.
 * @param {string} root
 * @returns {string[]}
 */
export function forbiddenImports(root) {
  return Object.keys(packages)
    .flatMap((name) => violations(root, name))
    .concat(unknownPackages(root), internalImports(root))
}

function internalImports(root) {
  const examples = join(root, 'examples')
  if (!existsSync(examples)) return []
  return readdirSync(examples, { withFileTypes: true })
    .filter((entry) => existsSync(join(examples, entry.name, 'src')))
    .flatMap(({ name }) => readModules(root, join('examples', name, 'src')))
    .flatMap(({ file, imports }) =>
      imports.filter((id) => id.endsWith('/internal')).map((id) => `${file} imports ${id}`),
    )
}

function unknownPackages(root) {
  const unknown = readdirSync(join(root, 'packages')).filter((name) => !(name in packages))
  return unknown.map((name) => `packages/${name} has no rule in scripts/lib/boundaries.mjs`)
}

function violations(root, name) {
  const folder = join('packages', name)
  const src = join(folder, 'src')
  const modules = readModules(root, src)
  const manifest = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
  const dependencies = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
  return [
    ...dependencies
      .filter((dependency) => !isPermitted(name, dependency))
      .map((dependency) => `packages/${name}/package.json depends on ${dependency}`),
    ...modules.flatMap((module) => wrongPackages(module, name, dependencies)),
    ...modules.flatMap((module) => wrongFolders(module, name, src)),
    ...unknownFolders(root, name, src),
    ...cyclesOf('import cycle', localImports(modules)),
    ...cyclesOf('folder cycle', folderImports(modules, src)),
  ]
}

function wrongPackages({ file, imports }, name, dependencies) {
  return imports
    .filter((id) => !id.startsWith('.') && !id.startsWith('node:'))
    .map((id) => id.match(/^(@[^/]+\/)?[^/]+/)[0])
    .filter((id) => !isPermitted(name, id) || !dependencies.includes(id))
    .map((id) => `${file} imports ${id}`)
}

/** Core has no dependencies. The others may depend on third-party packages and on the Stowage packages listed above. */
function isPermitted(name, dependency) {
  if (!dependency.startsWith('@stowage/')) return name !== 'core'
  return packages[name].includes(dependency.slice('@stowage/'.length))
}

function wrongFolders({ file, imports }, name, src) {
  const from = areaOf(file, src)
  if (!from.isFolder) return []
  const rules = folders[name]?.[from.name]
  if (rules === undefined)
    return [`${file}: folder ${from.name} has no rule in scripts/lib/boundaries.mjs`]
  return imports
    .filter((id) => id.startsWith('.'))
    .map((id) => areaOf(join(dirname(file), id), src).name)
    .filter((to) => to !== from.name && !rules.includes(to))
    .map((to) => `${file} imports ${to}`)
}

/** A rule for a folder that was renamed would permit nothing, and hide that it is out of date. */
function unknownFolders(root, name, src) {
  const areas = new Set(readdirSync(join(root, src)).map((entry) => entry.replace(/\.ts$/, '')))
  return Object.entries(folders[name] ?? {}).flatMap(([folder, rules]) =>
    [folder, ...rules]
      .filter((area) => !areas.has(area))
      .map((area) => `scripts/lib/boundaries.mjs: packages/${name}/src has no ${area}`),
  )
}

/** The folder of a module, or its own name if it is at the package's root. */
function areaOf(file, src) {
  const [first, ...rest] = relative(src, file).split(sep)
  return { name: first.replace(/\.ts$/, ''), isFolder: rest.length > 0 }
}

function localImports(modules) {
  return new Map(
    modules.map(({ file, imports }) => [
      file,
      imports.filter((id) => id.startsWith('.')).map((id) => join(dirname(file), id)),
    ]),
  )
}

/** What the modules of each folder import from other folders. A module at the package's root counts as a folder. */
function folderImports(modules, src) {
  const imports = new Map()
  for (const [file, imported] of localImports(modules)) {
    const folder = folderOf(file, src)
    const others = imported.map((id) => folderOf(id, src)).filter((other) => other !== folder)
    imports.set(folder, new Set([...(imports.get(folder) ?? []), ...others]))
  }
  return imports
}

function folderOf(file, src) {
  return dirname(file) === src ? file : dirname(file)
}

function cyclesOf(title, imports) {
  return importCycles(imports).map((cycle) => `${title}: ${cycle.join(' → ')}`)
}

function readModules(root, src) {
  return readdirSync(join(root, src), { recursive: true })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => join(src, file))
    .map((file) => ({ file, imports: importsOf(readFileSync(join(root, file), 'utf8')) }))
}

function importsOf(text) {
  const code = text.replace(/^\s*(\*|\/\/).*$/gm, '')
  return [...code.matchAll(/\b(?:from\s+|import\s+|import\()'([^']+)'/g)].map(([, id]) => id)
}

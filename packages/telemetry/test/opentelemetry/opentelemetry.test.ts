import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openTelemetry } from '@stowage/telemetry/opentelemetry'
import { isFullTier, sharedDynamoDB, startMemcached, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

interface ExportedSpan {
  readonly name: string
  readonly kind: number
  readonly id: string
  readonly parent: string | undefined
  readonly scope: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly links: readonly string[]
  readonly status: { readonly code: number; readonly message?: string }
}

interface Exported {
  readonly spans: readonly ExportedSpan[]
  readonly metrics: readonly {
    readonly descriptor: { readonly name: string; readonly unit: string }
  }[]
  /** How many instances of AsyncLocalStorage the reads have used. Each takes time in every promise. */
  readonly storagesOfReads: number
  readonly text: string
}

const scenario = fileURLToPath(new URL('scenario.cjs', import.meta.url))
const client = 2
const own = '@stowage/telemetry'
let env: NodeJS.ProcessEnv = process.env
const addresses: Record<string, string> = { memory: '' }
const stops: (() => Promise<void>)[] = []

beforeAll(async () => {
  const [redis, memcached, dynamodb] = await Promise.all([
    startRedis(),
    startMemcached(),
    sharedDynamoDB(),
  ])
  Object.assign(addresses, {
    redis: redis.url,
    memcached: memcached.address,
    dynamodb: dynamodb.url,
  })
  stops.push(
    () => redis.stop(),
    () => memcached.stop(),
    dynamodb.stop,
  )
  env = { ...process.env, ...dynamodb.env }
})
afterAll(() => Promise.all(stops.map((stop) => stop())))

/** What each process has exported, which the tests share. */
const runs = new Map<string, Promise<Exported>>()

/**
 * @param variant `digest`: with the option `keys`. `throws`: with one that throws. `unsampled`: the first call of the turn
 * belongs to a trace that is not sampled
 */
function run(
  driver: string,
  mode: 'instrumented' | 'alone',
  variant: '' | 'digest' | 'throws' | 'unsampled' = '',
): Promise<Exported> {
  const args = [driver, addresses[driver] ?? '', mode, variant]
  const id = args.join()
  const outcome = runs.get(id) ?? runProcess(args)
  runs.set(id, outcome)
  return outcome
}

async function runProcess(args: readonly string[]): Promise<Exported> {
  const options = { env, maxBuffer: 100_000_000 }
  const { stdout } = await promisify(execFile)(process.execPath, [scenario, ...args], options)
  return { ...JSON.parse(stdout), text: stdout }
}

const named = ({ spans }: Exported, name: string) => spans.filter((span) => span.name === name)

function only(exported: Exported, name: string): ExportedSpan {
  const found = named(exported, name)
  expect(found, name).toHaveLength(1)
  return found[0] as ExportedSpan
}

function childrenOf({ spans }: Exported, { id }: ExportedSpan): ExportedSpan[] {
  return spans.filter(({ parent }) => parent === id)
}

/** The spans of the calls of the three requests, each the only child of its request. */
function callsOfRequests(exported: Exported): ExportedSpan[] {
  return ['a', 'b', 'c'].map((name) => {
    const children = childrenOf(exported, only(exported, `request ${name}`))
    expect(children.map((span) => span.name)).toEqual(['cache.get'])
    return children[0] as ExportedSpan
  })
}

/** Each command that reached the server has one client span. */
const clientSpans = ({ spans }: Exported) => spans.filter(({ kind }) => kind === client)

const drivers = ['memory', 'redis', ...(isFullTier ? ['memcached', 'dynamodb'] : [])]

describe.each(drivers)('%s', (driver) => {
  test('each call, load and failure has a span, and no key or value is exported', async () => {
    const exported = await run(driver, driver === 'memory' ? 'alone' : 'instrumented')
    expect(exported.storagesOfReads).toBe(1)
    for (const call of callsOfRequests(exported)) {
      expect(call.attributes).toMatchObject({
        'stowage.cache': 'pages',
        'stowage.driver': driver,
        'stowage.operation': 'get',
        'stowage.outcome': 'hit',
        'cache.hit': true,
        'cache.item_size': '"planted-secret-value"'.length,
      })
    }
    const load = only(exported, 'query').parent
    const loads = named(exported, 'cache.load')
    expect(loads.map(({ id }) => id)).toContain(load)
    expect(loads).toHaveLength(2)
    const failed = loads.filter(({ status }) => status.code === 2)
    expect(failed).toMatchObject([{ attributes: { 'error.type': 'Error' } }])
    const [remembered] = childrenOf(exported, only(exported, 'loads'))
    expect(remembered).toMatchObject({ name: 'cache.get', attributes: { 'cache.hit': false } })
    const writes = childrenOf(exported, only(exported, 'writes'))
    expect(writes.filter(({ scope }) => scope === own).map(({ name }) => name)).toEqual(
      expect.arrayContaining(['cache.put', 'cache.remove']),
    )
    const others = exported.spans.filter(({ scope }) => scope === own)
    expect(JSON.stringify(others)).not.toContain('planted-secret')
    expect(JSON.stringify(exported.metrics)).not.toContain('planted-secret')
    expect(exported.metrics.map(({ descriptor: { name, unit } }) => [name, unit])).toEqual([
      ['stowage.cache.operation.duration', 's'],
      ['stowage.cache.load.duration', 's'],
    ])
  })
})

describe.each(drivers.filter((name) => name === 'redis' || name === 'dynamodb'))(
  'the batch of three requests on %s',
  (driver) => {
    test('links to all of them, and contains the only span of the client library', async () => {
      const exported = await run(driver, 'instrumented')
      const calls = callsOfRequests(exported)
      const batch = only(exported, 'cache.batch')
      expect([...batch.links].sort()).toEqual(calls.map(({ id }) => id).sort())
      expect(batch.parent).toBe(calls[0]?.id)
      expect(batch.attributes).toMatchObject({ 'stowage.operation': 'getMany', 'stowage.keys': 3 })
      const requests = childrenOf(exported, batch)
      expect(requests).toHaveLength(1)
      expect(requests[0]).toMatchObject({ kind: client })
      expect(requests[0]?.scope).not.toBe(own)
      expect(clientSpans(exported).filter(({ scope }) => scope === own)).toEqual([])
    })

    test('has the only client span without an instrumentation of the client library', async () => {
      const exported = await run(driver, 'alone')
      const calls = callsOfRequests(exported)
      const [batch] = childrenOf(exported, calls[0] as ExportedSpan)
      expect([...(batch?.links ?? [])].sort()).toEqual(calls.map(({ id }) => id).sort())
      const database = driver === 'redis' ? 'redis' : 'aws.dynamodb'
      const operation = driver === 'redis' ? 'getMany' : 'BatchGetItem'
      expect(batch).toMatchObject({
        kind: client,
        attributes: { 'db.system.name': database, 'db.operation.name': operation },
      })
      expect(JSON.stringify(exported.spans)).not.toContain('planted-secret')
    })

    test('has a span also if the first call belongs to a trace that is not sampled', async () => {
      const exported = await run(driver, 'instrumented', 'unsampled')
      const calls = callsOfRequests(exported)
      const batch = only(exported, 'cache.batch')
      expect([...batch.links].sort()).toEqual(calls.map(({ id }) => id).sort())
      expect(batch.parent).toBe(calls[0]?.id)
      expect(batch.attributes).toMatchObject({ 'stowage.operation': 'getMany', 'stowage.keys': 4 })
      expect(childrenOf(exported, batch)).toMatchObject([{ kind: client }])
    })
  },
)

test('each request to memcached has a client span of its own', async () => {
  const exported = await run('memcached', 'instrumented')
  for (const call of callsOfRequests(exported)) {
    const requests = childrenOf(exported, call)
    const [host, port] = (addresses.memcached as string).split(':')
    expect(requests).toMatchObject([
      {
        kind: client,
        links: [],
        attributes: {
          'db.system.name': 'memcached',
          'db.operation.name': 'get',
          'server.address': host,
          'server.port': Number(port),
        },
      },
    ])
  }
})

test('keys are exported only as the option says', async () => {
  const exported = await run('memory', 'alone', 'digest')
  for (const call of callsOfRequests(exported))
    expect(call.attributes).toMatchObject({ 'cache.key': ['digest of 16'] })
  expect(exported.text).not.toContain('planted-secret')
})

test('a function of the application that throws hides the keys', async () => {
  const exported = await run('memory', 'alone', 'throws')
  for (const call of callsOfRequests(exported))
    expect(call.attributes).toMatchObject({ 'cache.key': ['***'] })
})

test('refuses unknown options', () => {
  expect(() => openTelemetry({ key: true } as never)).toThrow('Did you mean keys?')
})

import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  type DynamoDBDatabase,
  type MemcachedServer,
  type PostgresDatabase,
  type RedisServer,
  sharedDynamoDB,
  sharedPostgres,
  startMemcached,
  startRedis,
} from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
// Inside the workspace, so that a block finds the packages as an application would, also those that bridges are for.
const folder = join(root, 'test', 'bridges', '.cache')
const execute = promisify(execFile)
const runner = fileURLToPath(new URL('run-blocks.mjs', import.meta.url))

interface Block {
  readonly page: string
  /** Line of the page where the code begins. */
  readonly line: number
  readonly code: string
  /** Path of the block below the folder, without extension. */
  readonly file: string
}

const readmes = [
  'README.md',
  ...readdirSync(join(root, 'packages')).map((name) => `packages/${name}/README.md`),
]
const docs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
const pages = [
  ...readmes,
  ...docs.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`),
]
const blocks = pages.flatMap(blocksOf)
let server: RedisServer
let dynamo: DynamoDBDatabase
let database: PostgresDatabase
let memcached: MemcachedServer

beforeAll(async () => {
  server = await startRedis()
  dynamo = await sharedDynamoDB()
  database = await sharedPostgres()
  memcached = await startMemcached()
  rmSync(folder, { recursive: true, force: true })
  for (const { file, code } of blocks) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, `${file}.ts`), code)
  }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings))
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const compiled = await execute(process.execPath, [
    compiler,
    '-p',
    folder,
    '--checkers',
    '1',
  ]).catch((error) => error)
  expect(compiled.stdout, 'every block compiles').toBe('')
}, 600_000)

afterAll(async () => {
  await server.stop()
  await dynamo.stop()
  await database.stop()
  await memcached.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe('documentation', () => {
  test('no block that exports a part of an application closes what that uses', () => {
    const closing = blocks.filter(
      ({ code }) => /^export const/m.test(code) && /^(await )?\w+\.close\(\)/m.test(code),
    )
    expect(closing.map(({ page, line }) => `${page}:${line}`)).toEqual([])
  })

  test.each(readmes)(
    '%s exists and starts with a runnable block of at most 15 lines before line 25',
    (readme) => {
      expect(existsSync(join(root, readme)), readme).toBe(true)
      const [first] = blocks.filter((block) => block.page === readme)
      expect(first?.line).toBeLessThan(25)
      expect(first?.code.trim().split('\n').length).toBeLessThanOrEqual(15)
    },
  )

  test.each(blocks)('$page, line $line: runs and prints what it says', async (block) => {
    let { stdout, stderr, error } = await outcomeOf(block)
    // A server stood still for longer than the default deadlines, which readers use: on a busy machine only.
    if (error !== undefined && /ERR_CACHE_TIMEOUT|the node is down/.test(error)) {
      ;({ stdout, stderr, error } = await runAlone(block.file))
    }
    const promised = [...block.code.matchAll(/\/\/ → (.*)$/gm)].map(([, text]) => text)
    expect(error).toBeUndefined()
    if (promised.length > 0) expect(stdout.trim().split('\n')).toEqual(promised)
    expect(stderr.replace(outageWarning, '')).toBe('')
  })
})

/** What a process says when a store fails, as it does on purpose in some blocks. */
const outageWarning =
  /^\(node:\d+\) \[STOWAGE_STORE_OUTAGE\].*\n(\(Use `node --trace-warnings.*\n)?/gm

interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly error?: string
}

/** The outcomes of the blocks that share a process, by process. */
const runs = new Map<string, Promise<Map<string, Outcome>>>()

/** In the full tier, each block has a process, as that of a reader. */
function isAlone({ code }: Block): boolean {
  return process.env.TEST_TIER === 'full' || /'node:test'|process\.exit/.test(code)
}

/** Most pages share a process, which is cheaper. One that subscribes to events, or caches fetch(), would affect the others. */
function processOf({ page }: Block): string {
  const affectsOthers = ({ code }: Block) =>
    /\bsubscribe\(|logEvents|setGlobalDispatcher/.test(code)
  return blocks.some((block) => block.page === page && affectsOthers(block)) ? page : 'others'
}

async function outcomeOf(block: Block): Promise<Outcome> {
  if (isAlone(block)) return runAlone(block.file)
  const id = processOf(block)
  if (!runs.has(id)) {
    const together = blocks.filter((other) => processOf(other) === id && !isAlone(other))
    runs.set(id, runTogether(together.map(({ file }) => file)))
  }
  return (await runs.get(id))?.get(block.file) as Outcome
}

function runAlone(file: string): Promise<Outcome> {
  return node(fileOf(file)).catch(({ stdout, stderr, message }) => ({
    stdout,
    stderr,
    error: message,
  }))
}

async function runTogether(files: readonly string[]): Promise<Map<string, Outcome>> {
  const { stdout, stderr }: Outcome = await node(runner, ...files.map(fileOf)).catch(
    (error) => error,
  )
  const missing = { stdout, stderr, error: 'It ends the process, or does not end.' }
  const outcomes = new Map<string, Outcome>(files.map((file) => [fileOf(file), missing]))
  for (const line of stdout.split('\n').filter(Boolean)) {
    const { file, ...outcome } = JSON.parse(line)
    outcomes.set(file, { ...outcome, stderr: outcome.stderr + stderr })
  }
  return new Map(files.map((file) => [file, outcomes.get(fileOf(file)) as Outcome]))
}

function fileOf(file: string): string {
  return join(folder, `${file}.js`)
}

/** @throws Error with the output if the process fails, or has not ended before the deadline of a test */
function node(...args: string[]): Promise<Outcome> {
  const servers = {
    REDIS_URL: server.url,
    MEMCACHED_SERVERS: memcached.address,
    DATABASE_URL: database.url,
    ...dynamo.env,
  }
  const env = { ...process.env, ...servers }
  return execute(process.execPath, args, { env, timeout: 170_000, killSignal: 'SIGKILL' })
}

const settings = {
  extends: '../../../tsconfig.base.json',
  compilerOptions: {
    composite: false,
    declaration: false,
    declarationMap: false,
    sourceMap: false,
    isolatedDeclarations: false,
    rootDir: '.',
  },
  include: ['**/*.ts'],
}

/** The code blocks of a page. One with a title, ```ts title="driver.ts", can be imported by the others of its page. */
function blocksOf(page: string): Block[] {
  const path = join(root, page)
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  const pageFolder = page.replaceAll(/[^a-z]/gi, '-')
  return [...text.matchAll(/^```ts(?: title="([\w-]+)\.ts")?\n(.*?)^```/gms)].map((match) => {
    const { 1: title, 2: code = '', index } = match
    const line = text.slice(0, index).split('\n').length
    return { page, line, code, file: `${pageFolder}/${title ?? `line-${line}`}` }
  })
}

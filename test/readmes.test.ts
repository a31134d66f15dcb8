import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DynamoDBServer, startDynamoDB } from '../scripts/lib/dynamodb-local.mjs'
import { type MemcachedServer, startMemcached } from '../scripts/lib/memcached-server.mjs'
import { type RedisServer, startRedis } from '../scripts/lib/redis-server.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
// Inside the workspace, so that a block finds the packages as an application would.
const folder = join(root, 'test', '.cache')
const execute = promisify(execFile)

interface Block {
  readonly readme: string
  /** Line of the README where the code begins. */
  readonly line: number
  readonly code: string
  readonly file: string
}

const readmes = [
  'README.md',
  ...readdirSync(join(root, 'packages')).map((name) => `packages/${name}/README.md`),
]
const blocks = readmes.flatMap(blocksOf)
let server: RedisServer
let dynamo: DynamoDBServer
let memcached: MemcachedServer

beforeAll(async () => {
  server = await startRedis()
  dynamo = await startDynamoDB()
  memcached = await startMemcached()
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const { file, code } of blocks) writeFileSync(join(folder, `${file}.ts`), code)
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings))
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
  const compiled = await execute(process.execPath, [compiler, '-p', folder]).catch((error) => error)
  expect(compiled.stdout, 'every block compiles').toBe('')
})

afterAll(async () => {
  await server.stop()
  await dynamo.stop()
  await memcached.stop()
  rmSync(folder, { recursive: true, force: true })
})

describe('every README', () => {
  test.each(readmes)(
    '%s exists and starts with a runnable block of at most 15 lines before line 25',
    (readme) => {
      expect(existsSync(join(root, readme)), readme).toBe(true)
      const [first] = blocks.filter((block) => block.readme === readme)
      expect(first?.line).toBeLessThan(25)
      expect(first?.code.trim().split('\n').length).toBeLessThanOrEqual(15)
    },
  )

  test.each(blocks)('$readme, line $line: runs and prints what it says', async ({ file, code }) => {
    const servers = { REDIS_URL: server.url, MEMCACHED_SERVERS: memcached.address, ...dynamo.env }
    const env = { ...process.env, ...servers }
    const { stdout, stderr } = await execute(process.execPath, [join(folder, `${file}.js`)], {
      env,
    })
    const promised = [...code.matchAll(/\/\/ → (.*)$/gm)].map(([, text]) => text)
    if (promised.length > 0) expect(stdout.trim().split('\n')).toEqual(promised)
    expect(stderr).toBe('')
  })
})

const settings = {
  extends: '../../tsconfig.base.json',
  compilerOptions: {
    composite: false,
    declaration: false,
    declarationMap: false,
    sourceMap: false,
    isolatedDeclarations: false,
    rootDir: '.',
  },
  include: ['*.ts'],
}

function blocksOf(readme: string): Block[] {
  const path = join(root, readme)
  const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
  return [...text.matchAll(/^```ts\n(.*?)^```/gms)].map(({ 1: code = '', index }) => {
    const line = text.slice(0, index).split('\n').length
    return { readme, line, code, file: `${readme.replaceAll(/[^a-z]/gi, '-')}-${line}` }
  })
}

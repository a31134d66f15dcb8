import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Variables, Visitor } from '@stowage/example-shared/testing'
import { type Replicated, startReplicated } from '@stowage/test-servers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startShop } from './shop.ts'

let redis: Replicated
let folder: string

beforeAll(async () => {
  redis = await startReplicated({ replicas: 1 })
  folder = await mkdtemp(join(tmpdir(), 'stowage-addresses-'))
})

afterAll(async () => {
  await redis?.stop()
  await rm(folder, { recursive: true, force: true })
})

/** The status page of a shop with these variables. */
async function statusWith(variables: Variables): Promise<string> {
  const app = startShop(variables)
  const { text } = await new Visitor(await app.url()).get('/status')
  await app.stop()
  return text
}

/** The addresses and roles on the page. */
function addressesIn(page: string): string[] {
  const rows = page.matchAll(/data-node="([^"]*)".*?<small>([^<]*)<\/small>(.*?)<\/li>/gs)
  return [...rows].map(([, address, detail, badge]) => {
    const label = />([^<]*)<\/span>/.exec(badge ?? '')?.[1]
    return `${address}: ${label ?? detail}`
  })
}

test('the primary and the replicas of Redis, without the password', async () => {
  const primary = `127.0.0.1:${redis.primary.port}`
  const replica = `127.0.0.1:${redis.replicas[0]?.port}`
  const page = await statusWith({
    CACHE_DRIVER: 'redis',
    REDIS_URL: `redis://default:hunter2@${primary}`,
    REDIS_REPLICAS: replica,
    SESSION_REDIS_READ_FROM: 'primary',
  })
  const both = [`${primary}: primary`, `${replica}: replica`]
  expect(addressesIn(page)).toEqual([...both, ...both])
  expect(page).not.toContain('hunter2')
})

test('a file, this process, and a table', async () => {
  const files = await statusWith({ CACHE_DRIVER: 'lmdb', CACHE_PATH: folder })
  expect(addressesIn(files)).toEqual([`${folder}/cache: file`, `${folder}/session: file`])

  const processes = addressesIn(await statusWith({}))
  expect(processes[0]).toMatch(/^process \d+: memory of this process$/)

  const table = await statusWith({
    CACHE_DRIVER: 'dynamodb',
    CACHE_TABLE: 'shop',
    DYNAMODB_ENDPOINT: 'http://127.0.0.1:1',
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
  })
  expect(addressesIn(table)).toEqual(['shop: table', 'shop: table'])
})

test('no hit ratio while the store does not reply', async () => {
  const page = await statusWith({ CACHE_DRIVER: 'redis', REDIS_URL: 'redis://127.0.0.1:1' })
  expect(page).not.toContain('Hit ratio')
  expect(page).not.toContain('<progress')
  expect(page).toContain('data-node="127.0.0.1:1"')
})

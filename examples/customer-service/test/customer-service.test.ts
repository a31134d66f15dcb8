import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { cachesFromEnv, DriverRegistry } from '@stowage/core'
import type { Variables } from '@stowage/core/driver'
import { AppProcess, redisDeadlines } from '@stowage/example-shared/testing'
import { startReplicated } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createApp } from '../dist/app.js'
import { CustomerRepository } from '../dist/customer-repository.js'
import { CustomerService } from '../dist/customer-service.js'

const drivers = new DriverRegistry({
  memory: () => import('@stowage/memory'),
  redis: () => import('@stowage/redis'),
})

interface Environment {
  readonly variables: Variables
  stop(): Promise<unknown>
}

const environments: Record<string, () => Promise<Environment>> = {
  'development, in memory': async () => ({ variables: {}, stop: async () => {} }),
  'production, a primary and replicas': async () => {
    const { primary, replicas, stop } = await startReplicated({ replicas: 2 })
    const variables = {
      CACHE_DRIVER: 'redis',
      REDIS_PRIMARY: `127.0.0.1:${primary.port}`,
      REDIS_REPLICAS: replicas.map(({ port }) => `127.0.0.1:${port}`).join(','),
      ...redisDeadlines,
    }
    return { variables, stop }
  },
}

describe.each(Object.keys(environments))('%s', (name) => {
  const repository = new CustomerRepository()
  let environment: Environment
  let caches: Awaited<ReturnType<typeof cachesFromEnv>>
  let server: Server
  let url: string

  beforeAll(async () => {
    environment = await (environments[name] as () => Promise<Environment>)()
    caches = await cachesFromEnv(environment.variables, drivers)
    const app = createApp(new CustomerService(caches.use('cache'), repository))
    server = createServer(app)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })

  afterAll(async () => {
    server.closeAllConnections()
    server.close()
    await caches.close()
    await environment.stop()
  })

  const get = async (path: string, accept: string, encoding = 'gzip') => {
    const response = await fetch(url + path, { headers: { accept, 'accept-encoding': encoding } })
    return { response, text: await response.text() }
  }

  test('caches a result once per type and encoding, and clears them together', async () => {
    const read = async () => {
      const texts: string[] = []
      for (const type of ['application/json', 'text/html', 'text/csv']) {
        for (const encoding of ['gzip', 'identity']) {
          const { response, text } = await get('/customers/1', type, encoding)
          expect(response.headers.get('content-type')).toContain(type)
          expect(response.headers.get('content-encoding')).toBe(encoding === 'gzip' ? 'gzip' : null)
          texts.push(text)
        }
      }
      return texts
    }
    const before = await read()
    expect(await read()).toEqual(before)
    expect(repository.queries).toBe(3)
    expect(before.every((text) => text.includes('Ada'))).toBe(true)
    await get('/customers', 'text/csv')
    const renamed = await fetch(`${url}/customers/1/name`, {
      method: 'PUT',
      body: 'Augusta Ada',
      headers: { 'content-type': 'text/plain' },
    })
    expect(renamed.status).toBe(204)
    expect((await read()).every((text) => text.includes('Augusta Ada'))).toBe(true)
    expect((await get('/customers', 'text/csv')).text).toContain('"Augusta Ada"')
    expect((await get('/customers/9', '*/*')).response.status).toBe(404)
  })
})

test('starts without any variable, and sends the bytes that are stored', async () => {
  const app = new AppProcess(new URL('../dist/main.js', import.meta.url), { PORT: '0' })
  try {
    const response = await fetch(`${await app.url()}/customers`, {
      headers: { 'accept-encoding': 'gzip', accept: 'application/json' },
    })
    expect(await response.json()).toHaveLength(3)
    expect(response.headers.get('cache-status')).toBe('Stowage; fwd=uri-miss; stored')
  } finally {
    expect(await app.stop()).toBe(0)
  }
})

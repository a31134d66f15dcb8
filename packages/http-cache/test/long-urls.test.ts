import { Agent, get as send } from 'node:http'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Cache } from '@stowage/core'
import { responseCache } from '@stowage/http-cache'
import { memory } from '@stowage/memory'
import express, { type RequestHandler } from 'express'
import { expect, test } from 'vitest'
import { serve } from './fixture.ts'

const requests = 400
const rest = 'a'.repeat(12_000)
/** Of what a process knows about as many responses. Keys alone would take 4.8 MB or more. */
const maxBytes = 3_500_000

/** Heap that is in use, without garbage. */
function usedHeap(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

const handlers: Record<string, RequestHandler> = {
  'responses that are not stored': (_request, response) => void response.status(404).send('no'),
  'responses with Vary': (_request, response) => void response.vary('X-A').send('x'),
}

test.each(Object.keys(handlers))(
  'long URLs do not fill the memory of the process: %s',
  async (name) => {
    const cache = new Cache(memory({ maxBytes: 1_000_000 }))
    const app = express()
    for (const route of ['a', 'b']) app.use(`/${route}`, responseCache({ cache }) as RequestHandler)
    app.use(handlers[name] as RequestHandler)
    const { port } = await serve(app)
    const agent = new Agent({ keepAlive: true, maxSockets: 4 })
    const visit = (index: number) =>
      new Promise<void>((resolve, reject) => {
        const path = `/${index % 2 ? 'a' : 'b'}/${index}?${rest}`
        send({ port, host: '127.0.0.1', path, agent }, (response) => {
          response.resume().on('end', resolve)
        }).on('error', reject)
      })
    await visit(-1)
    const before = usedHeap()
    for (let start = 0; start < requests; start += 50) {
      await Promise.all(Array.from({ length: 50 }, (_, offset) => visit(start + offset)))
    }
    agent.destroy()
    expect(usedHeap() - before).toBeLessThan(maxBytes)
  },
)

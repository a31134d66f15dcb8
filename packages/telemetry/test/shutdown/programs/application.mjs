// A request to /slow reads the cache when the parent process sends a message. The standard output says what happened.
import { once } from 'node:events'
import { createServer } from 'node:http'
import { createCaches } from '@stowage/core'
import { memory } from '@stowage/memory'

export async function startApplication() {
  const caches = createCaches({ default: 'cache', stores: { cache: memory, session: memory } })
  const close = caches.close.bind(caches)
  caches.close = () => close().then(() => console.log('caches closed'))
  const cache = caches.use('cache')
  await cache.set('k', 'value')
  const server = createServer(async (_request, response) => {
    process.send('received')
    await once(process, 'message')
    // Otherwise the channel keeps the process running.
    process.disconnect()
    response.end(await cache.get('k'))
    console.log('responded')
  })
  return { caches, server }
}

export async function listen(server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  process.send({ port: server.address().port })
}

import { once } from 'node:events'
import { createServer } from 'node:http'
import { startLoad } from '../../lib/http/load.mjs'

/** A contestant whose calls come from the requests of another process. `onRequest` handles them. */
export async function withLoad(onRequest, close) {
  // While the others take their turns, the connections are idle for longer than the default of keepAliveTimeout.
  const server = createServer({ keepAliveTimeout: 0 }, onRequest).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const load = await startLoad(server.address().port)
  return {
    load,
    async close() {
      load.stop()
      server.closeAllConnections()
      server.close()
      await close?.()
    },
  }
}

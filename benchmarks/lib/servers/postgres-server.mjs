import { startPostgres as start } from '@stowage/test-servers'
import pg from 'pg'

/** A server with a database per contestant, which is created anew in each round. */
export async function startPostgres(contestants) {
  const server = await start({ settings: { shared_buffers: '128MB' } })
  const admin = new pg.Client(server.url)
  await admin.connect()
  const urlOf = (contestant) => server.url.replace(/postgres$/, databaseOf(contestant))
  return {
    pids: [server.pid],
    addressOf: (contestant) => ({ url: urlOf(contestant) }),
    async reset() {
      for (const contestant of contestants) {
        const name = databaseOf(contestant)
        await admin.query(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
        await admin.query(`CREATE DATABASE ${name}`)
      }
    },
    async stop() {
      await admin.end()
      await server.stop()
    },
  }
}

function databaseOf(contestant) {
  return contestant.replaceAll(/\W/g, '_')
}

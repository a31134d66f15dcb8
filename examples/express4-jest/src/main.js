const { cachesFromEnv } = require('@stowage/core')
const { standardDrivers } = require('@stowage/drivers')
const { createApp } = require('./app.js')

async function main() {
  const caches = await cachesFromEnv(process.env, standardDrivers())
  const server = createApp(caches).listen(process.env.PORT ?? 3000, '127.0.0.1', () => {
    console.log(`Stowage Express 4 example listening on http://127.0.0.1:${server.address().port}`)
  })
  process.once('SIGTERM', () => server.close(() => caches.close()))
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})

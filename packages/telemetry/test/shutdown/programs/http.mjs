import { listen, startApplication } from './application.mjs'

const { caches, server } = await startApplication()
process.once('SIGTERM', () => server.close(() => void caches.close()))
await listen(server)

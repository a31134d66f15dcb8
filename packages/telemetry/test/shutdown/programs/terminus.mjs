import { createTerminus } from '@godaddy/terminus'
import { healthCheck } from '@stowage/telemetry/health'
import { listen, startApplication } from './application.mjs'

const { caches, server } = await startApplication()
const { check } = healthCheck(caches, { required: ['session'] })
createTerminus(server, {
  signals: ['SIGTERM'],
  useExit0: true,
  timeout: 60_000,
  healthChecks: {
    '/health': async () => {
      const { status, body } = await check()
      if (status === 'fail') throw Object.assign(new Error(status), { causes: body.checks })
      return body.checks
    },
  },
  onSignal: () => caches.close(),
})
await listen(server)

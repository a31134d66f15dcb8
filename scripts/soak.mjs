// Watches the packages over a time, while what they depend on fails: npm run soak -- redis-failover [scenario …]
import { existsSync } from 'node:fs'
import { prepare } from './lib/prepare.mjs'
import { main, Remedy } from './lib/progress.mjs'
import { ensureServers } from './lib/servers.mjs'

await main(async () => {
  const [name, ...rest] = process.argv.slice(2)
  const file = new URL(`soak/${name}.mjs`, import.meta.url)
  if (!/^[a-z-]+$/.test(name ?? '') || !existsSync(file))
    throw new Remedy('Say what to watch: npm run soak -- redis-failover')
  await prepare()
  await ensureServers()
  const { soak } = await import(file.href)
  return soak(rest)
})

// Watches the packages over a time, while what they depend on fails: npm run soak -- memcached [seconds]
import { readdirSync } from 'node:fs'
import { prepare } from './lib/prepare.mjs'
import { main, Remedy } from './lib/progress.mjs'
import { ensureServers } from './lib/servers.mjs'

const folder = new URL('soak/', import.meta.url)

await main(async () => {
  const [name, ...rest] = process.argv.slice(2)
  const known = readdirSync(folder).flatMap((file) => /^(.+)\.mjs$/.exec(file)?.[1] ?? [])
  if (!known.includes(name))
    throw new Remedy(
      `Say what to watch, as in npm run soak -- ${known[0]}. There are: ${known.join(', ')}.`,
    )
  await prepare()
  await ensureServers()
  const { soak } = await import(new URL(`${name}.mjs`, folder).href)
  return soak(rest)
})

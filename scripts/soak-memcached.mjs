// A minute of faults under load, for each protocol: node scripts/soak-memcached.mjs [seconds]
import { fuzzMemcached } from './lib/memcached-fuzz.mjs'
import { main, Remedy } from './lib/progress.mjs'

const seconds = Number(process.argv[2] ?? 60)

await main(async () => {
  for (const protocol of ['binary', 'meta']) {
    const result = await fuzzMemcached(seconds * 1_000, { protocol })
    console.log(protocol, result)
    const { wrong, hung, well, connections } = result
    if (wrong.length > 0 || hung > 0 || well < 50 || connections > 1) {
      throw new Remedy(`The ${protocol} protocol did not survive ${seconds} s of faults.`)
    }
  }
})

import { memcachedGroup } from '../lib/workloads/memcached-group.mjs'

export default memcachedGroup(1)

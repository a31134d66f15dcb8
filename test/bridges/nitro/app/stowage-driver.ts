import { unstorageFromEnv } from '@stowage/bridges/unstorage'
import { standardDrivers } from '@stowage/drivers'

export default unstorageFromEnv(standardDrivers())

"""What an org has to hold for the mappings: as a folder to deploy, and compared with a live org's describes."""

